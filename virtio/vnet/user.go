package vnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/virtio"
)

// userProgram is the user network, a process of its own: its network stack is far
// more code than a start of a machine can pay for, and it is the part that talks
// with the world.
const userProgram = "mayfly-usernet"

// userFD is the descriptor at which it finds its end of the socket.
const userFD = 3

// readyLine is what it writes first, when the network is up.
const readyLine = "ready\n"

// readyLimit is how long that may take.
const readyLimit = 10 * time.Second

// child is a mayfly-usernet of this machine. It ends when its socket does.
type child struct {
	path    string
	ready   chan struct{} // closed when it is ready, or err is set
	err     error         // why it is not
	mu      sync.Mutex
	process *os.Process
	closed  bool
	done    chan struct{}
}

// useUser starts mayfly-usernet. It comes up while the machine is being made; Ready
// waits for it.
func (d *Device) useUser() error {
	path := companion.Find(userProgram)
	if path == "" {
		return errors.New("kind=user: the program " + userProgram + " is neither beside this program nor in PATH; install it there")
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("kind=user: %w", err)
	}
	if err := d.useFD(fds[0]); err != nil {
		unix.Close(fds[1])
		return err
	}
	c := &child{path: path, ready: make(chan struct{}), done: make(chan struct{})}
	d.child = c
	far := os.NewFile(uintptr(fds[1]), userProgram)
	go c.run(d, d.userArgs(), far)
	return nil
}

// Ready waits until the user network is up, where the card has one, and returns why
// it is not: a port of the host that is in use, for example. Start the guest after
// that.
func (d *Device) Ready() error {
	c := d.child
	if c == nil {
		return nil
	}
	select {
	case <-c.ready:
	default:
		late := time.NewTimer(readyLimit)
		defer late.Stop()
		select {
		case <-c.ready:
		case <-late.C:
			return virtio.DeviceErrorf(d.config.DeviceName(), "%s is not ready after %v", c.path, readyLimit)
		}
	}
	if c.err != nil {
		return virtio.Named(d.config.DeviceName(), c.err)
	}
	return nil
}

func (d *Device) userArgs() []string {
	args := []string{userProgram, "-fd", fmt.Sprint(userFD), "-mac", d.address().String()}
	for _, f := range d.config.Forward {
		args = append(args, "-forward", f)
	}
	if d.config.Isolated {
		args = append(args, "-isolated")
	}
	if d.config.HostAccess {
		args = append(args, "-host")
	}
	for _, n := range d.config.Allow {
		args = append(args, "-allow", n)
	}
	for _, n := range d.config.Deny {
		args = append(args, "-deny", n)
	}
	if d.mtu != 0 {
		args = append(args, "-mtu", fmt.Sprint(d.mtu))
	}
	return args
}

// run follows the program from its start to its end.
func (c *child) run(d *Device, args []string, far *os.File) {
	defer close(c.done)
	r, p, err := c.start(args, far)
	if err != nil {
		c.failed(d, fmt.Errorf("%s: %w", c.path, err))
		return
	}
	defer r.Close()
	c.mu.Lock()
	c.process = p
	c.mu.Unlock()
	message := c.listen(r)
	state, err := p.Wait()
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	switch {
	case closed:
		c.failed(d, nil)
		return
	case err != nil:
		message = err.Error()
	case message == "":
		message = "it ended: " + state.String()
	}
	c.failed(d, fmt.Errorf("%s: %s", c.path, strings.TrimPrefix(message, userProgram+": ")))
}

// start starts the program with a pipe for what it writes, and closes far.
func (c *child) start(args []string, far *os.File) (*os.File, *os.Process, error) {
	defer far.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer w.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	defer null.Close()
	p, err := companion.Start(c.path, args, []*os.File{null, w, w, far}, companion.Networked)
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return r, p, nil
}

// failed takes the link down. Before the program was ready, Ready returns the error;
// after that it is reported. nil: the card was closed.
func (c *child) failed(d *Device, err error) {
	d.cableUp(false)
	select {
	case <-c.ready:
		if err != nil {
			d.tell(fmt.Errorf("%w; the guest's link is down until the machine is started again", err))
		}
	default:
		if c.err = err; err == nil {
			c.err = os.ErrClosed
		}
		close(c.ready)
	}
}

// messageMax bounds what is kept of what the program writes.
const messageMax = 500

// listen reads what the program writes until it ends: the line that it is ready, and
// errors. It returns the last of these.
func (c *child) listen(r *os.File) string {
	var keep []byte
	var buf [512]byte
	ready := false
	for {
		n, err := r.Read(buf[:])
		keep = append(keep, buf[:n]...)
		if rest, ok := bytes.CutPrefix(keep, []byte(readyLine)); ok && !ready {
			keep, ready = rest, true
			close(c.ready)
		}
		if len(keep) > 2*messageMax {
			keep = append(keep[:0], keep[len(keep)-messageMax:]...)
		}
		if err != nil {
			break
		}
	}
	keep = bytes.TrimSpace(keep)
	if i := bytes.LastIndexByte(keep, '\n'); i >= 0 {
		keep = keep[i+1:]
	}
	return string(keep)
}

// endLimit is the time that the program has to end when its socket has.
const endLimit = 2 * time.Second

// closing says that the program's end is no fault from now on.
func (c *child) closing() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// close waits for the program's end: the socket is closed.
func (c *child) close() {
	c.mu.Lock()
	p := c.process
	c.mu.Unlock()
	if p != nil {
		late := time.AfterFunc(endLimit, func() { _ = p.Kill() })
		defer late.Stop()
	}
	<-c.done
}
