// Package terminal connects a user's terminal with a guest's console: it is raw
// while the machine runs, so that every key reaches the guest, and it is what it
// was before whatever happens then.
package terminal

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Terminal is an input, and its settings if it is a terminal. All methods may
// be called by several goroutines, such as one that handles signals.
type Terminal struct {
	file *os.File // holds fd open
	fd   int      // -1: no input
	tty  bool

	mu    sync.Mutex
	saved unix.Termios // as it was before
	raw   unix.Termios
	set   bool // raw is in force, so saved is owed
}

// Is reports whether f is a terminal.
func Is(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Open makes a file raw if it is a terminal, except that the keys
// for signals (Ctrl-C, Ctrl-\) still send them: until TakeKeys nobody else could
// answer them. Anything else (a pipe, a file, /dev/null, a closed descriptor) is
// left alone. A terminal that
// belongs to another process group at the moment (`mayfly run … &`) is neither
// changed nor read: both would stop the program.
//
// The caller defers Restore at once, and calls it before anything ends the
// program in another way; RestoreOnPanic is for other goroutines.
func Open(f *os.File) (*Terminal, error) {
	t := &Terminal{file: f, fd: -1}
	conn, err := f.SyscallConn()
	if err != nil {
		return t, nil // closed: there is no input
	}
	if conn.Control(func(fd uintptr) { t.fd = int(fd) }) != nil {
		return t, nil
	}
	old, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return t, nil // no terminal
	}
	t.tty = true
	if !t.foreground() {
		t.fd = -1
		return t, nil
	}
	t.saved, t.raw = *old, *old
	makeRaw(&t.raw)
	t.raw.Lflag |= old.Lflag & unix.ISIG
	if err := unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.raw); err != nil {
		return nil, fmt.Errorf("terminal: %s can't be made raw: %w; run it with standard input from /dev/null if no input is needed", f.Name(), err)
	}
	t.set = true
	return t, nil
}

// TakeKeys gives all keys to the guest, those for signals too: once there is one.
func (t *Terminal) TakeKeys() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set && t.raw.Lflag&unix.ISIG != 0 {
		t.raw.Lflag &^= unix.ISIG
		if t.foreground() {
			_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.raw) // as Open could
		}
	}
}

// IsTerminal reports whether the input is a terminal, where Escape's keys count.
func (t *Terminal) IsTerminal() bool { return t.tty }

// foreground reports whether this process may use the terminal. A terminal that
// isn't the session's own has no such rule.
func (t *Terminal) foreground() bool {
	group, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// makeRaw is cfmakeraw of the C library: no line editing, echo, signals or
// translation, 8 bits, and a read returns as soon as there is a byte.
func makeRaw(t *unix.Termios) {
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
}

// Restore gives the terminal back as it was. Only the first call does anything.
func (t *Terminal) Restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set {
		t.set = false
		// TCSETS, not TCSETSF or TCSETSW: those wait for output, which a stopped
		// terminal never takes.
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.saved)
	}
}

// Reapply makes the terminal raw again, after the shell had it: on SIGCONT. It
// does nothing once Restore was called.
func (t *Terminal) Reapply() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.set && t.foreground() {
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, &t.raw)
	}
}

// RestoreOnPanic, deferred by a goroutine, restores the terminal before a panic
// ends the program, so that its trace is readable and the shell usable.
func (t *Terminal) RestoreOnPanic() {
	if p := recover(); p != nil {
		t.Restore()
		panic(p)
	}
}
