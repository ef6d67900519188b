package console

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

// port is a port at work. What is not in in or out is under the device's lock, but
// skip and chains, which are their workers'.
type port struct {
	d        *Device
	index    int
	cfg      Port
	in       Input
	out      output
	rx, tx   virtio.Chain
	skip     int // bytes of the next chain from the guest that were taken already
	ptyName  string
	removals []int          // directories in which closers remove files
	closers  []func() error // an error is one of the output: a write that came too late to fail
	stopping chan struct{}

	todo             todo
	ready, guestOpen bool // what the driver said
	hostOpen         bool // somebody is at our end
	cols, rows       uint16
}

func newPort(d *Device, i int, cfg Port) (*port, error) {
	p := &port{d: d, index: i, cfg: cfg, hostOpen: true, stopping: make(chan struct{})}
	p.in.stats, p.in.space = &d.stats, make(chan struct{}, 1)
	p.out.init(&d.stats, !cfg.Console)
	p.out.report = func(err error) { d.report(fmt.Errorf("port %d: %w", i, err)) }
	p.out.mustArrive = cfg.File != "" || cfg.Out != nil
	var err error
	switch {
	case cfg.File != "":
		err = p.openFile()
	case cfg.listens():
		err = p.openSocket()
	case cfg.PTY != "":
		err = p.openPTY()
	case cfg.Out != nil:
		if p.out.w, err = p.own(cfg.Out); err == nil {
			p.out.setLimit(cfg.Limit, 0)
		}
	default:
		p.out.w = io.Discard
	}
	return p, err
}

// begin starts the goroutines of a port whose device is whole.
func (p *port) begin() {
	go p.out.write()
	if p.cfg.listens() {
		return
	}
	if p.cfg.In != nil {
		go p.pump(p.cfg.In, nil)
	}
}

func (p *port) openFile() error {
	// O_NONBLOCK: a FIFO without a reader is an error at once, not a wait without end.
	f, err := os.OpenFile(p.cfg.File, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("file: %s is a FIFO that nobody reads, or a device that is not there: start the reader first", p.cfg.File)
	}
	if err != nil {
		return fmt.Errorf("file: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("file: %w", err)
	}
	if st.Mode().IsRegular() {
		p.out.setLimit(p.cfg.Limit, uint64(st.Size()))
	} else {
		p.out.setLimit(p.cfg.Limit, 0)
	}
	p.out.w = f
	p.closers = append(p.closers, f.Close)
	return nil
}

// own makes a descriptor of our own of a file: an *os.File that is standard output
// would end the process when its reader goes away, and a machine must outlive
// that.
func (p *port) own(w io.Writer) (io.Writer, error) {
	f, ok := w.(*os.File)
	if !ok {
		return w, nil
	}
	conn, err := f.SyscallConn() // not Fd, which may change the file's mode
	if err != nil {
		return nil, fmt.Errorf("out: %w", err)
	}
	fd := -1
	if e := conn.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 3) }); e != nil || err != nil {
		return nil, fmt.Errorf("out: %w", errors.Join(e, err))
	}
	own := os.NewFile(uintptr(fd), f.Name())
	p.closers = append(p.closers, own.Close)
	return own, nil
}

// attach gives the port its queues, or with nil takes them.
func (p *port) attach(rx, tx *virtio.Queue, opened bool) {
	p.in.open(rx != nil && (opened || p.guestOpen))
	p.in.attach(rx)
	p.out.attach(tx)
}

// pump reads input until its end. left, if not nil, tells whether who sent it has
// gone since.
func (p *port) pump(r io.Reader, left func() bool) {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if n < 0 || n > len(buf) || !p.deliver(buf[:n], left) || err != nil {
			return
		}
	}
}

// deliver waits until the guest has taken b; false: the device is closed, or the
// guest takes nothing and there is nobody left whom that would hold up.
func (p *port) deliver(b []byte, left func() bool) bool {
	for {
		if b = b[p.in.Receive(b):]; len(b) == 0 {
			break
		}
		if !p.waitForSpace(left) {
			return false
		}
	}
	select {
	case <-p.stopping:
		return false
	default:
		return true
	}
}

func (p *port) waitForSpace(left func() bool) bool {
	var stalled <-chan time.Time
	if left != nil {
		t := time.NewTicker(stallLimit)
		defer t.Stop()
		stalled = t.C
	}
	for {
		select {
		case <-p.in.Space():
			return true
		case <-stalled:
			if left() {
				return false
			}
		case <-p.stopping:
			return false
		}
	}
}

// setHostOpen tells the guest that somebody came or went.
func (p *port) setHostOpen(yes bool) {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.hostOpen = yes
	if p.ready {
		p.d.order(p, doOpen)
	}
}

// input is the work of the queue to the guest.
func (p *port) input(q *virtio.Queue) bool { return p.in.fill(q, &p.rx) }

// output is the work of the queue from it.
func (p *port) output(q *virtio.Queue) bool {
	did := false
	p.out.retry()
	for range portQueue {
		if !p.out.hasRoom() || !q.Pop(&p.tx) {
			break
		}
		size := p.tx.Out.Len()
		p.skip = p.out.take(p.tx.Out, min(p.skip, size), p.cfg.Seen)
		if p.skip < size {
			q.Unpop(&p.tx) // the writer wakes the queue when there is room
			break
		}
		p.skip = 0
		q.Push(&p.tx, 0)
		did = true
	}
	q.Flush()
	return did
}

// emergency takes a byte that the guest wrote to a register.
func (p *port) emergency(b byte) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	if p.out.closed || p.out.err != nil || p.out.limited && p.out.limit == 0 || p.out.ring.put([]byte{b}) == 0 {
		p.out.lose(1)
		return
	}
	p.out.limit -= min(p.out.limit, 1)
	p.d.stats.fromGuest.Add(1)
	p.out.more.Signal()
}

func (p *port) lostCause() error {
	if !p.out.mustArrive {
		return nil
	}
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	return p.out.err
}

func (p *port) close(deadline time.Time) error {
	select {
	case <-p.stopping:
		return nil
	default:
	}
	close(p.stopping)
	p.in.close()
	err := p.out.close(deadline)
	if d, ok := p.cfg.In.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Unix(1, 0))
	}
	for _, c := range p.closers {
		if e := c(); e != nil {
			err = p.out.failed(e)
		}
	}
	if err != nil {
		return virtio.DeviceErrorf(name, "port %d: %w", p.index, err)
	}
	return nil
}

var errNoPTY = errors.New("pty: this host gives no terminals (/dev/ptmx)")
