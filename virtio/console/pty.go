package console

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
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
	if err == nil {
		p.ptyName = "/dev/pts/" + strconv.Itoa(n)
		// Held open: without anybody there, reads of the master fail.
		slave, err = unix.Open(p.ptyName, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		err = setRaw(slave)
	}
	if err == nil {
		err = linkPTY(p.ptyName, p.cfg.PTY)
	}
	if err != nil {
		master.Close()
		if slave >= 0 {
			unix.Close(slave)
		}
		return fmt.Errorf("pty: %w", err)
	}
	p.out.w, p.cfg.In = master, master
	p.closers = append(p.closers, func() {
		if to, err := os.Readlink(p.cfg.PTY); err == nil && to == p.ptyName {
			_ = os.Remove(p.cfg.PTY)
		}
		master.Close()
		unix.Close(slave)
	})
	return nil
}

// linkPTY makes the link, also over one that was left to a terminal.
func linkPTY(name, path string) error {
	if to, err := os.Readlink(path); err == nil && len(to) > 9 && to[:9] == "/dev/pts/" {
		_ = os.Remove(path)
	}
	return os.Symlink(name, path)
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
