// Package child is the protocol between a program and the process in which one of its
// machines runs, mayfly-machine: messages over a Unix stream socket, as JSON behind a length
// of four bytes (little-endian). The program's messages may bring descriptors, with the
// length (SCM_RIGHTS).
package child

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SocketFD is the socket's descriptor in the machine's process.
const SocketFD = 3

// Program is the machine's process.
const Program = "mayfly-machine"

const (
	// MaxMessage is a message's size in bytes at most: the configuration with a command line
	// and the paths of all devices, or the counters of all devices.
	MaxMessage = 4 << 20
	// MaxFDs is how many descriptors a message has at most: SCM_MAX_FD of Linux.
	MaxFDs = 253
)

// Message is a request, its answer, which has its number, or an event, which has none.
type Message struct {
	Number uint64          `json:"number,omitempty"`
	Method string          `json:"method,omitempty"` // of requests and events
	Body   json.RawMessage `json:"body,omitempty"`
	Error  *Error          `json:"error,omitempty"` // of answers
	FDs    []int           `json:"-"`
}

// Pack makes body the message's.
func (m *Message) Pack(body any) error {
	b, err := json.Marshal(body)
	m.Body = b
	return err
}

// Conn is one end of the socket.
type Conn struct {
	file *os.File
	raw  syscall.RawConn

	mu sync.Mutex // of Send
}

// NewConn takes over a descriptor.
func NewConn(fd int) (*Conn, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	c := &Conn{file: os.NewFile(uintptr(fd), "machine")}
	var err error
	if c.raw, err = c.file.SyscallConn(); err != nil {
		c.file.Close()
		return nil, err
	}
	return c, nil
}

// Pair makes a Conn and its other end, for a process that is started.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	c, err := NewConn(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return c, os.NewFile(uintptr(fds[1]), Program), nil
}

// ErrNotSent is wrapped by errors of a Send of which nothing has gone: more can be sent.
var ErrNotSent = errors.New("the message was not sent")

// Send sends a message. It waits for the other end to read, until the time; zero: for ever. After
// an error that is no ErrNotSent nothing more can be sent.
func (c *Conn) Send(m *Message, until time.Time) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if len(b) > MaxMessage || len(m.FDs) > MaxFDs {
		return fmt.Errorf("%w: it has %d bytes and %d descriptors; at most %d and %d are possible", ErrNotSent, len(b), len(m.FDs), MaxMessage, MaxFDs)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.file.SetWriteDeadline(until); err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(b)))
	if len(m.FDs) != 0 {
		if err := c.sendRights(head, m.FDs); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSent, err)
		}
		head = nil
	}
	_, err = c.file.Write(append(head, b...))
	return err
}

// sendRights sends the length, whose four bytes the socket takes at once or not at all.
func (c *Conn) sendRights(head []byte, fds []int) error {
	var sent error
	err := c.raw.Write(func(fd uintptr) bool {
		sent = unix.Sendmsg(int(fd), head, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		return sent != unix.EAGAIN && sent != unix.EINTR
	})
	return errors.Join(err, os.NewSyscallError("sendmsg", sent))
}

// Receive waits for a message. The error is io.EOF when the other end is closed. Descriptors
// that come are discarded by the kernel.
func (c *Conn) Receive() (*Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(c.file, head[:]); err != nil {
		return nil, err
	}
	return c.body(head, nil)
}

// ReceiveFDs is Receive with descriptors, which are the caller's.
func (c *Conn) ReceiveFDs() (*Message, error) {
	var head [4]byte
	var fds []int
	for n := 0; n < len(head); {
		k, more, err := c.receiveSome(head[n:])
		fds = append(fds, more...)
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		n += k
	}
	return c.body(head, fds)
}

func (c *Conn) receiveSome(b []byte) (n int, fds []int, err error) {
	control := make([]byte, unix.CmsgSpace(4*MaxFDs))
	var nc, flags int
	e := c.raw.Read(func(fd uintptr) bool {
		n, nc, flags, _, err = unix.Recvmsg(int(fd), b, control, unix.MSG_CMSG_CLOEXEC)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if err = errors.Join(e, os.NewSyscallError("recvmsg", err)); err != nil {
		return 0, nil, err
	}
	if n == 0 {
		return 0, nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(control[:nc])
	for i := range messages {
		some, _ := unix.ParseUnixRights(&messages[i])
		fds = append(fds, some...)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		err = errors.Join(err, unix.EMFILE)
	}
	return n, fds, err
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// body reads what follows a length.
func (c *Conn) body(head [4]byte, fds []int) (*Message, error) {
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxMessage {
		closeAll(fds)
		return nil, fmt.Errorf("a message of %d bytes: at most %d are possible", n, MaxMessage)
	}
	b := make([]byte, n)
	m := new(Message)
	_, err := io.ReadFull(c.file, b)
	if err == nil {
		err = json.Unmarshal(b, m)
	}
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	m.FDs = fds
	return m, nil
}

// Finish has the other end's Receive return io.EOF. This end can still receive.
func (c *Conn) Finish() {
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }) // not connected any more: so much the better
}

// Close ends a Receive of this end, and of the other.
func (c *Conn) Close() error { return c.file.Close() }
