package serial

import (
	"errors"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

var errWouldBlock = errors.New("would block")

// file writes to an open file without blocking and without changing it for
// the processes that share it: O_NONBLOCK of standard output would be the shell's too.
// It also bypasses os.File's rule that EPIPE on standard output ends the
// program: a machine must outlive the reader of its console.
type file struct {
	fd   int
	kind fileKind
	poll [1]unix.PollFd // a field, since a local variable would escape at each call
}

type fileKind int

const (
	plain  fileKind = iota // write returns at once, or EAGAIN
	socket                 // MSG_DONTWAIT
	polled                 // write may block, and poll reports whether it would
)

// polledMax is how many bytes are written at most after poll reported POLLOUT.
const polledMax = 256

// openFile returns a descriptor of our own for f's file, or nil if that fails.
func openFile(f *os.File) *file {
	conn, err := f.SyscallConn() // not Fd, which may change the file's mode
	if err != nil {
		return nil
	}
	var out *file
	if err := conn.Control(func(fd uintptr) { out = openFD(int(fd)) }); err != nil {
		return nil
	}
	return out
}

func openFD(fd int) *file {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return nil
	}
	kind := plain
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG, unix.S_IFBLK: // the same description: it has the position
	case unix.S_IFSOCK:
		kind = socket
	default: // pipes and terminals: a description of our own can be non-blocking
		own, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			return newFile(own, plain)
		}
		kind = polled // no /proc, or no right to open it again
	}
	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil
	}
	return newFile(own, kind)
}

func newFile(fd int, kind fileKind) *file {
	return &file{fd: fd, kind: kind, poll: [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}}
}

// try writes what it can of p, which is not empty, and returns errWouldBlock
// when that is nothing at the moment.
func (f *file) try(p []byte) (int, error) {
	for {
		var n int
		var err error
		switch f.kind {
		case plain:
			n, err = unix.Write(f.fd, p)
		case socket:
			n, err = send(f.fd, p)
		case polled:
			if !f.wait(0) {
				return 0, errWouldBlock
			}
			n, err = unix.Write(f.fd, p[:min(len(p), polledMax)])
		}
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err != nil:
			return 0, os.NewSyscallError("write", err)
		case n <= 0:
			return 0, errors.New("write: nothing was written")
		}
		return n, nil
	}
}

// wait returns whether f can be written, or failed, within d.
func (f *file) wait(d time.Duration) bool {
	f.poll[0].Revents = 0
	n, err := unix.Poll(f.poll[:], int(d/time.Millisecond))
	return err == nil && n > 0
}

func (f *file) close() error { return os.NewSyscallError("close", unix.Close(f.fd)) }

// send is send(2), which package unix only has without the count.
func send(fd int, p []byte) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
