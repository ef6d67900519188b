package kernel

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A stamp is what shows of a file's content without reading it. The time of the
// last status change is no part of it: it also moves when the file is replaced by
// renaming another over it, which is the right way and leaves the content of an
// open file alone.
type stamp struct {
	size  int64
	mtime unix.Timespec
}

func stampOf(st *unix.Stat_t) stamp { return stamp{st.Size, st.Mtim} }

// changed says what has happened to f since the stamp was taken, "" if nothing
// shows. Who can't be asked has not changed.
func (s stamp) changed(f *os.File, path string) string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return ""
	}
	switch now := stampOf(&st); {
	case now.size < s.size:
		return fmt.Sprintf("%s was truncated from %d to %d bytes while it was in use", path, s.size, now.size)
	case now.size > s.size:
		return fmt.Sprintf("%s grew from %d to %d bytes while it was in use", path, s.size, now.size)
	case now.mtime != s.mtime:
		return fmt.Sprintf("%s was overwritten in place while it was in use", path)
	}
	return ""
}
