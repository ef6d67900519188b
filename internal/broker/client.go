package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/virtio"
)

// ErrGone is wrapped by the errors of a broker that has ended, or answers no more. It stays
// so.
var ErrGone = errors.New("the program " + Program + ", which connects to Unix sockets, is gone")

// answerTime is how long a Dial waits for the program, which itself waits for nothing.
const answerTime = time.Second

// Client is the side of the process that gets connections. Its methods may be called from
// any goroutine.
type Client struct {
	peers int

	mu     sync.Mutex
	fd     int // -1: none
	number uint32
	cause  error // why there is none
}

// Start starts the program for these sockets and returns at once; what it can't do is the
// first Dial's error. Relative paths are those of now.
func Start(peers []virtio.Peer) (*Client, error) {
	if len(peers) > MaxPeers {
		return nil, fmt.Errorf("%d Unix sockets to connect to: at most %d are possible", len(peers), MaxPeers)
	}
	path := companion.Find(Program)
	if path == "" {
		return nil, errors.New("the program " + Program + ", which connects to Unix sockets, is neither in the directory of this program nor in PATH: install it there")
	}
	args := []string{Program}
	namespaces := namespacesOf(landlock.Scopes(landlock.Version()))
	for _, p := range peers {
		if strings.HasPrefix(p.Path, "@") {
			namespaces &= companion.Networked // such names belong to a network namespace
		} else if !strings.HasPrefix(p.Path, "/") {
			dir, err := os.Getwd()
			if err != nil {
				return nil, err
			}
			p.Path = dir + "/" + p.Path
		}
		args = append(args, peerArg(p))
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	far := os.NewFile(uintptr(fds[1]), Program)
	defer far.Close()
	p, err := companion.Start(path, args, []*os.File{nil, nil, os.Stderr, far}, namespaces)
	if err != nil {
		unix.Close(fds[0])
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	_ = p.Release() // it ends when the socket is closed
	return newClient(fds[0], len(peers))
}

// namespacesOf are those of the program. Where Landlock keeps it from abstract sockets and
// other processes they would add nothing, and cost a start 1 ms: a fork that copies this
// process's page tables, and a network.
func namespacesOf(scopes bool) companion.Namespaces {
	if scopes {
		return 0
	}
	return companion.Isolated
}

// newClient takes over its end of the socket.
func newClient(fd, peers int) (*Client, error) {
	limit := unix.NsecToTimeval(int64(answerTime))
	for _, option := range []int{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit); err != nil {
			unix.Close(fd)
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	return &Client{fd: fd, peers: peers}, nil
}

// Dial is a virtio.Dial. The error is an Errno of the connection, or wraps ErrGone.
func (c *Client) Dial(peer int, port uint32) (int, error) {
	if peer < 0 || peer >= c.peers {
		return -1, unix.EINVAL
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return -1, c.cause
	}
	c.number++
	fd, err := c.ask(request{c.number, uint32(peer), port})
	if errno := unix.Errno(0); err != nil && !errors.As(err, &errno) {
		c.giveUp(err) // an answer that is late would be taken for the next one's
		return -1, c.cause
	}
	return fd, err
}

// brokenError is an error on the way to the program, as against one of its answers.
func brokenError(op string, err error) error { return fmt.Errorf("%s: %v", op, err) }

// ask returns the answer's descriptor or Errno, or another error.
func (c *Client) ask(r request) (int, error) {
	var err error
	for {
		if err = unix.Sendmsg(c.fd, r.bytes(), nil, nil, unix.MSG_NOSIGNAL); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, brokenError("sendmsg", err)
	}
	b, control := make([]byte, answerSize+1), make([]byte, unix.CmsgSpace(4*4))
	for {
		n, nc, flags, _, err := unix.Recvmsg(c.fd, b, control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return -1, brokenError("recvmsg", err)
		case n == 0:
			return -1, errors.New("it has ended")
		}
		return parseAnswer(b[:n], control[:nc], flags, r.number)
	}
}

func (c *Client) giveUp(err error) {
	unix.Close(c.fd)
	c.fd, c.cause = -1, fmt.Errorf("%w: %v", ErrGone, err)
}
