package report

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// Explain is the text of an error; where a limit of open files was reached, also what raises it.
func Explain(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		var l unix.Rlimit
		limit := "its limit of open files is reached"
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil {
			limit = "this process may have " + strconv.FormatUint(l.Cur, 10) + " open"
		}
		return err.Error() + "; " + limit + ": raise RLIMIT_NOFILE (ulimit -n, or LimitNOFILE= of a systemd unit)"
	case errors.Is(err, unix.ENFILE):
		return err.Error() + "; the host has no more: raise fs.file-max (sysctl)"
	}
	return err.Error()
}
