// Package direntry is a name in a directory that is opened once: who can
// replace the directory, or one above it, cannot lead a later check, change or
// removal elsewhere.
package direntry

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Entry is a name that need not exist.
type Entry struct {
	dir  int
	name string
	path string // for messages
}

// Open opens the directory of path.
func Open(path string) (*Entry, error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Entry{fd, name, path}, nil
}

// Directory is the descriptor of the directory. It is the Entry's.
func (e *Entry) Directory() int { return e.dir }

// Close closes the directory.
func (e *Entry) Close() { _ = unix.Close(e.dir) }

func (e *Entry) error(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: e.path, Err: err}
}

// Stat does not follow a symbolic link.
func (e *Entry) Stat() (st unix.Stat_t, err error) {
	return st, e.error("lstat", unix.Fstatat(e.dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW))
}

// Remove removes a file, not a directory.
func (e *Entry) Remove() error { return e.error("unlink", unix.Unlinkat(e.dir, e.name, 0)) }

// Readlink returns what a symbolic link says.
func (e *Entry) Readlink() (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Readlinkat(e.dir, e.name, b)
	return string(b[:max(n, 0)]), e.error("readlink", err)
}

// Symlink makes the name a symbolic link.
func (e *Entry) Symlink(to string) error {
	return e.error("symlink", unix.Symlinkat(to, e.dir, e.name))
}

// ChmodSocket gives a socket of this user's own the permissions mode, and returns
// its state: a zero one where the socket is not ours. Anything else that has the name by now is an error: a symbolic link,
// another user's file, or one that has other names too.
func (e *Entry) ChmodSocket(mode os.FileMode) (st unix.Stat_t, err error) {
	fd, err := unix.Openat(e.dir, e.name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return st, e.error("open", err)
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return st, e.error("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != unix.Geteuid() || st.Nlink != 1 {
		return unix.Stat_t{}, e.error("bind", os.NewSyscallError("the socket was replaced by another file", unix.EEXIST))
	}
	if st.Mode&uint32(os.ModePerm) == uint32(mode) {
		return st, nil
	}
	// By the descriptor: fchmod takes none that was opened with O_PATH.
	err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), uint32(mode))
	st.Mode = st.Mode&^uint32(os.ModePerm) | uint32(mode)
	return st, e.error("chmod", err)
}
