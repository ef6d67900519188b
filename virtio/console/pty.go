package console

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/direntry"
	"github.com/mayfly-vm/mayfly/internal/dirlock"
)

// openPTY makes a terminal, and a link to it at Port.PTY.
func (p *port) openPTY() error {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoPTY, err)
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	slave := -1
	unlock := dirlock.Take(p.cfg.PTY)
	defer unlock()
	var link *direntry.Entry
	if err == nil {
		link, err = direntry.Open(p.cfg.PTY)
	}
	if err == nil {
		p.ptyName = "/dev/pts/" + strconv.Itoa(n)
		// Held open: without anybody there, reads of the master fail.
		slave, err = unix.Open(p.ptyName, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		err = setRaw(slave)
	}
	if err == nil {
		err = claim(slave)
	}
	if err == nil {
		err = linkPTY(p.ptyName, link, p.cfg.PTY)
	}
	if err != nil {
		master.Close()
		if slave >= 0 {
			unix.Close(slave)
		}
		if link != nil {
			link.Close()
		}
		return fmt.Errorf("pty: %w", err)
	}
	p.removals = []int{link.Directory()}
	p.out.w, p.cfg.In = master, master
	p.closers = append(p.closers, func() error {
		if to, err := link.Readlink(); err == nil && to == p.ptyName {
			_ = link.Remove()
		}
		link.Close()
		master.Close()
		unix.Close(slave)
		return nil
	})
	return nil
}

// linkPTY makes the link, also over one that an ended machine left. The directory is
// locked.
func linkPTY(name string, link *direntry.Entry, path string) error {
	to, err := link.Readlink()
	if err == nil && isPTY(to) {
		live, err := false, error(nil)
		if to != name { // else the kernel gave us the number of the ended machine's
			live, err = claimed(to)
		}
		if err != nil {
			return fmt.Errorf("%s leads to %s, and whether that is a running machine's cannot be found out: %w; remove it or take another path", path, to, err)
		}
		if live {
			return fmt.Errorf("%s leads to %s, the terminal of a running machine; take another path", path, to)
		}
		_ = link.Remove()
	}
	err = link.Symlink(name)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is not a link to a terminal; remove it or take another path", path)
	}
	return err
}

// isPTY tells whether path is a terminal's. What a link says may be another user's
// choice, and a device may act when it is opened: no other file is.
func isPTY(path string) bool {
	number, ok := strings.CutPrefix(path, "/dev/pts/")
	_, err := strconv.ParseUint(number, 10, 31)
	return ok && err == nil
}

// A machine marks its terminal by a record lock, which ends with the machine: the
// number of a terminal alone says nothing, since the kernel gives it out again. A
// lock of a byte far out is in nobody's way; programs that use terminals lock with
// flock, or from byte 0 on.
const claimedByte = 0x6d617966 // "mayf"

func claimLock() *unix.Flock_t {
	return &unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Start: claimedByte, Len: 1}
}

func claim(slave int) error {
	return os.NewSyscallError("fcntl", unix.FcntlFlock(uintptr(slave), unix.F_OFD_SETLK, claimLock()))
}

// claimed tells whether a machine has the terminal.
func claimed(name string) (bool, error) {
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch err {
	case nil:
	case unix.ENOENT, unix.ENXIO, unix.EIO: // no such terminal, or its master is closed
		return false, nil
	default:
		return false, err
	}
	defer unix.Close(fd)
	lock := claimLock()
	if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, lock); err != nil {
		return false, os.NewSyscallError("fcntl", err)
	}
	return lock.Type != unix.F_UNLCK, nil
}

// setRaw passes each byte on as it is: the terminal's own rules are the guest's.
func setRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
