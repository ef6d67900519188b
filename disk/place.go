package disk

import (
	"errors"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// place is a file that was found and not opened yet: an O_PATH descriptor, which
// waits for nobody at a FIFO and starts no device. What is opened through it is the
// file that was checked, whatever takes its name meanwhile.
type place struct {
	fd   int
	path string
}

// find resolves o.Path and checks what is there.
func find(o Options) (at place, st unix.Stat_t, err error) {
	at = place{path: o.Path}
	if at.fd, err = openRetry(o.Path, unix.O_PATH|unix.O_CLOEXEC); err != nil {
		return at, st, explain(err, o)
	}
	defer func() {
		if err != nil {
			at.close()
		}
	}()
	if err = unix.Fstat(at.fd, &st); err != nil {
		return at, st, err
	}
	if o.Allow != nil {
		real, err := at.real()
		if err == nil {
			err = o.Allow(real, st.Mode&unix.S_IFMT == unix.S_IFREG)
		}
		if err != nil {
			return at, st, err
		}
	}
	return at, st, checkType(st.Mode)
}

// link is the descriptor as a path.
func (p place) link() string { return "/proc/self/fd/" + strconv.Itoa(p.fd) }

// real is the absolute path without links.
func (p place) real() (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(p.link(), buf[:])
	if err == unix.ENOENT { // no /proc
		path, err := filepath.EvalSymlinks(p.path)
		if err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	return string(buf[:max(n, 0)]), err
}

// open opens the file.
func (p place) open(flags int) (int, error) {
	fd, err := openRetry(p.link(), flags)
	if err != unix.ENOENT {
		return fd, err
	}
	// No /proc: by its name, without waiting for what may stand there now.
	if fd, err = openRetry(p.path, flags|unix.O_NONBLOCK); err != nil {
		return fd, err
	}
	var was, is unix.Stat_t
	if unix.Fstat(p.fd, &was) != nil || unix.Fstat(fd, &is) != nil || was.Dev != is.Dev || was.Ino != is.Ino {
		unix.Close(fd)
		return -1, errors.New("was replaced by another file while it was opened")
	}
	return fd, unix.SetNonblock(fd, false)
}

func (p place) close() { unix.Close(p.fd) }

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}
