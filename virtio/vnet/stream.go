package vnet

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
)

// On a stream each frame follows its length in bytes, u32 big-endian, and has no
// header: checksums and segments are done.
const lengthSize = 4

// Delays between attempts to reach a far end that went away.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// stream is a cable that ends in a Unix socket.
type stream struct {
	d    *Device
	path string // empty: the socket was inherited, and there is no way back to it

	dialer virtio.Dial // for path; nil: connections are made here

	mu  sync.Mutex
	now *link // nil: there is none
	end bool
	// sender is woken when a connection ends, which it may wait for.
	sender *virtio.Loop
	// rest is what a Stop kept from being sent, the end of a frame; unread is what it
	// kept from being delivered, the beginning of one that has come in part.
	rest, unread []byte
}

// link is one connection.
type link struct {
	file *os.File
	conn syscall.RawConn
	fd   int
}

// watch lets a Loop await the connection.
func (l *link) watch(loop *virtio.Loop) error {
	var err error
	return errors.Join(l.conn.Control(func(fd uintptr) { err = loop.AddDescriptor(int(fd)) }), err)
}

func isSocket(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

func isSocketFile(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
}

// useFD takes over a socket, and closes it where that fails.
func (d *Device) useFD(fd int) error {
	if t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || t != unix.SOCK_STREAM {
		_ = unix.Close(fd)
		return fmt.Errorf("descriptor %d is a socket of another type than SOCK_STREAM", fd)
	}
	unix.CloseOnExec(fd)
	l, err := newLink(fd)
	if err != nil {
		return err
	}
	d.stream = &stream{d: d, now: l}
	d.cable.Store(true)
	return nil
}

// useSocket connects to a path.
func (d *Device) useSocket(path string) error {
	s := &stream{d: d, path: path}
	l, err := s.dial()
	if err != nil {
		do := ""
		switch {
		case errors.Is(err, unix.ENOENT):
			do = "; start the program that listens there first"
		case errors.Is(err, unix.ECONNREFUSED) && !isSocketFile(path):
			do = "; it is no socket"
		case errors.Is(err, unix.EPROTOTYPE):
			do = "; it is a socket of another type than SOCK_STREAM: QEMU's -netdev stream and passt have the right one"
		case errors.Is(err, unix.ECONNREFUSED):
			do = "; the program that listened there has ended: start it again"
		case errors.Is(err, unix.EACCES):
			do = "; this user needs the right to write to it"
		}
		return fmt.Errorf("socket %s: %w%s", path, err, do)
	}
	s.now = l
	d.stream = s
	d.cable.Store(true)
	return nil
}

func (s *stream) dial() (*link, error) {
	fd, err := -1, error(nil)
	if s.dialer != nil {
		fd, err = s.dialer(0, 0)
	} else {
		fd, err = unixsocket.Dial(s.path)
	}
	if err != nil {
		return nil, err
	}
	return newLink(fd)
}

func newLink(fd int) (*link, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	// Room for a batch of the longest frames. What the host allows is enough.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	f := os.NewFile(uintptr(fd), "net stream")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &link{f, conn, fd}, nil
}

const socketBuffer = 1 << 20

// current is the connection, or nil.
func (s *stream) current() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// lost ends a connection. err is nil when the far end closed it.
func (s *stream) lost(l *link, err error) {
	s.mu.Lock()
	if s.now != l || s.end {
		s.mu.Unlock()
		return
	}
	s.now, s.rest, s.unread = nil, nil, nil
	sender := s.sender
	s.mu.Unlock()
	l.file.Close()
	if sender != nil {
		sender.Wake()
	}
	why := "was closed by its far end"
	if err != nil {
		why = "broke: " + err.Error()
	}
	then := "it stays down"
	if s.path != "" {
		then = "connecting again to " + s.path
	}
	if s.d.cableUp(false) && s.d.child == nil { // a child's end is reported with its reason
		s.d.tell(fmt.Errorf("the network's socket %s; the guest's link is down, %s", why, then))
	}
}

// again tries to connect once; nil: it failed.
func (s *stream) again() *link {
	l, err := s.dial()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	if s.end {
		s.mu.Unlock()
		l.file.Close()
		return nil
	}
	s.now = l
	s.mu.Unlock()
	s.d.cableUp(true)
	return l
}

// setSender says whom to wake when a connection ends; nil: nobody.
func (s *stream) setSender(l *virtio.Loop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sender = l
}

// Peers is the socket of a card that connects to one. It makes the device a
// virtio.PeerDevice.
func (d *Device) Peers() []virtio.Peer {
	if d.stream == nil || d.stream.path == "" {
		return nil
	}
	return []virtio.Peer{{Path: d.stream.path}}
}

// DialWith has connections to it made by dial. It comes before Start.
func (d *Device) DialWith(dial virtio.Dial) {
	if d.stream != nil {
		d.stream.dialer = dial
	}
}

func (s *stream) close() {
	s.mu.Lock()
	l := s.now
	s.now, s.end = nil, true
	s.mu.Unlock()
	if l != nil {
		l.file.Close()
	}
}
