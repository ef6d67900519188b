package report

import (
	"errors"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// openFiles is the limit of open files; 0: unknown. It is asked for once, by NewQueue: a machine's
// process, once it is confined, may not ask.
var openFiles = sync.OnceValue(func() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return l.Cur
})

// Explain is the text of an error; where a limit of open files was reached, also what raises it.
func Explain(err error) string {
	switch {
	case errors.Is(err, unix.EMFILE):
		limit := "its limit of open files is reached"
		if n := openFiles(); n != 0 {
			limit = "this process may have " + strconv.FormatUint(n, 10) + " open"
		}
		return err.Error() + "; " + limit + ": raise RLIMIT_NOFILE (ulimit -n, or LimitNOFILE= of a systemd unit)"
	case errors.Is(err, unix.ENFILE):
		return err.Error() + "; the host has no more: raise fs.file-max (sysctl)"
	}
	return err.Error()
}
