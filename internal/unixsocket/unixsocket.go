// Package unixsocket makes and reaches stream sockets in the file system, as bare
// non-blocking descriptors: package net would cost each start its initialisation.
package unixsocket

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/direntry"
	"github.com/mayfly-vm/mayfly/internal/dirlock"
)

// Listener is a socket that others connect to.
type Listener struct {
	FD    int
	entry *direntry.Entry // nil where the socket was handed over
	made  unix.Stat_t     // the file that we made, for its removal
}

// Directories are the descriptors of the directories in which Close removes a file.
func (l *Listener) Directories() []int {
	if l.entry == nil {
		return nil
	}
	return []int{l.entry.Directory()}
}

const backlog = 128

// Listen makes the socket at path, with exactly the permissions mode. A socket
// that a process left there which is gone is replaced; one in use, another user's
// or a file that is no socket is an error that says so.
func Listen(path string, mode os.FileMode) (*Listener, error) {
	if err := CheckPath(path, 0); err != nil {
		return nil, fmt.Errorf("path %w", err)
	}
	// Another program that finds the socket before it listens would replace it.
	defer dirlock.Take(path)()
	entry, err := direntry.Open(path)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("path %s: its directory does not exist", path)
	}
	if err != nil {
		return nil, fmt.Errorf("path %s: %w", path, err)
	}
	l := &Listener{FD: -1, entry: entry}
	if err := l.bind(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Take makes a Listener of a socket that somebody else has made, and closes f, also
// where that fails. The socket's file stays when the Listener is closed.
func Take(f *os.File) (*Listener, error) {
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	l := &Listener{FD: -1}
	if e := conn.Control(func(fd uintptr) { // not Fd, which may change the file's mode
		if err = checkListener(int(fd)); err == nil {
			l.FD, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3)
		}
	}); e != nil {
		return nil, e
	}
	if err == nil {
		err = unix.SetNonblock(l.FD, true)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func checkListener(fd int) error {
	for _, o := range []struct{ option, want int }{{unix.SO_DOMAIN, unix.AF_UNIX}, {unix.SO_TYPE, unix.SOCK_STREAM}, {unix.SO_ACCEPTCONN, 1}} {
		switch got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, o.option); {
		case errors.Is(err, unix.ENOTSOCK):
			return errors.New("it is no socket")
		case err != nil:
			return err
		case got != o.want:
			return errors.New("it is no Unix stream socket that listens (listen)")
		}
	}
	return nil
}

func (l *Listener) bind(path string, mode os.FileMode) error {
	if err := clearPath(l.entry, path); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("path %s: %w", path, os.NewSyscallError("socket", err))
	}
	l.FD = fd
	// Before bind, the mode is that of the file to be made: nobody finds it open to
	// more than mode, at no moment.
	if err = unix.Fchmod(fd, uint32(mode)); err == nil {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		return fmt.Errorf("path %s: cannot make the socket: %w", path, err)
	}
	// umask may have taken bits away.
	if l.made, err = l.entry.ChmodSocket(mode); err == nil {
		err = os.NewSyscallError("listen", unix.Listen(fd, backlog))
	}
	if err != nil {
		return fmt.Errorf("path %s: %w", path, err)
	}
	return nil
}

// clearPath removes a socket file of a process that has ended.
func clearPath(entry *direntry.Entry, path string) error {
	st, err := entry.Stat()
	if err != nil {
		return nil // bind reports what is wrong, if anything is
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("path %s: there is a file that is no socket; remove it or take another path", path)
	}
	fd, err := Dial(path)
	if err == nil {
		unix.Close(fd)
	}
	if errors.Is(err, unix.ENOENT) { // it was removed meanwhile
		return nil
	}
	if errors.Is(err, unix.EACCES) {
		return fmt.Errorf("path %s: user %d has a socket there that this user may not connect to; remove it or take another path", path, st.Uid)
	}
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("path %s: a socket is there, and whether it is in use cannot be found out: %w", path, err)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("path %s: the socket is in use by another process; take another path", path)
	}
	if int(st.Uid) != unix.Geteuid() {
		return fmt.Errorf("path %s: user %d left a socket there; remove it or take another path", path, st.Uid)
	}
	if err := entry.Remove(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("path %s: cannot remove the socket that was left there: %w", path, err)
	}
	return nil
}

// Dial connects to the socket at path, or an abstract one (@NAME). That either
// succeeds at once or fails.
func Dial(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := Connect(fd, path); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Close ends it, and removes the file if it is still ours.
func (l *Listener) Close() {
	if l.entry != nil {
		// The file first: as long as somebody listens, nobody replaces it in between.
		if st, err := l.entry.Stat(); err == nil && st.Dev == l.made.Dev && st.Ino == l.made.Ino {
			_ = l.entry.Remove()
		}
		l.entry.Close()
	}
	if l.FD >= 0 {
		_ = unix.Close(l.FD)
	}
	l.FD, l.entry = -1, nil
}
