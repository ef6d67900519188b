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
)

// userProgram is the user network, a process of its own: its network stack is far
// more code than a start of a machine can pay for, and it is the part that talks
// with the world.
const userProgram = "mayfly-usernet"

// userFD is the descriptor at which it finds its end of the socket.
const userFD = 3

// child is a mayfly-usernet of this machine. It ends when its socket does.
type child struct {
	mu      sync.Mutex
	process *os.Process
	closed  bool
	done    chan struct{}
}

// useUser starts mayfly-usernet. The fork runs beside the machine's own start; what
// goes wrong with it is reported, and the guest's link is down.
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
	c := &child{done: make(chan struct{})}
	d.child = c
	far := os.NewFile(uintptr(fds[1]), userProgram)
	go c.run(d, path, d.userArgs(), far)
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
	if d.mtu != 0 {
		args = append(args, "-mtu", fmt.Sprint(d.mtu))
	}
	return args
}

func (c *child) run(d *Device, path string, args []string, far *os.File) {
	defer close(c.done)
	fail := func(err error) {
		if d.cableUp(false) {
			d.tell(fmt.Errorf("%s: %w; the guest's link is down", path, err))
		} else {
			d.tell(fmt.Errorf("%s: %w", path, err))
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		far.Close()
		fail(err)
		return
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		far.Close()
		w.Close()
		fail(err)
		return
	}
	p, err := os.StartProcess(path, args, &os.ProcAttr{Dir: "/", Env: []string{}, Files: []*os.File{null, null, w, far}})
	null.Close()
	far.Close()
	w.Close()
	if err != nil {
		fail(err)
		return
	}
	c.mu.Lock()
	c.process = p
	c.mu.Unlock()
	said := lastLine(r)
	state, err := p.Wait()
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	switch {
	case closed:
	case err != nil:
		fail(err)
	case !state.Success():
		if said == "" {
			said = state.String()
		}
		fail(errors.New(strings.TrimPrefix(said, userProgram+": ")))
	}
}

// sayMax bounds what is kept of what the program says.
const sayMax = 500

// lastLine is the last line that is said before the end of r.
func lastLine(r *os.File) string {
	var keep []byte
	var buf [512]byte
	for {
		n, err := r.Read(buf[:])
		keep = append(keep, buf[:n]...)
		if len(keep) > 2*sayMax {
			keep = append(keep[:0], keep[len(keep)-sayMax:]...)
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

// close waits for the program's end: the socket is closed.
func (c *child) close() {
	c.mu.Lock()
	c.closed = true
	p := c.process
	c.mu.Unlock()
	if p != nil {
		late := time.AfterFunc(endLimit, func() { _ = p.Kill() })
		defer late.Stop()
	}
	<-c.done
}
