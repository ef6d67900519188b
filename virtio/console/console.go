// Package console is the virtio console (section 5.3): one terminal, hvc0, or
// several ports of which some are terminals and the others named pipes between
// host and guest (/dev/virtio-ports/NAME).
//
// A port has two rings, one a direction. What the guest writes is copied into
// one, and a goroutine writes it on; when the host doesn't take it, the guest's
// buffers wait in their virtqueue, and no other port knows of it. Input waits in
// the other until the guest has buffers, and until it has opened the port.
package console

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Bounds of a Config.
const (
	MaxPorts = 31
	MaxName  = 127
)

// Config is the device.
type Config struct {
	// Ports are at least one. A single one without a name that is a Console makes the
	// simple device of hvc0 alone, which every driver knows.
	Ports []Port
	// Report is told why output to a File or an Out is lost. nil: nobody is. It must not
	// block.
	Report func(error) `json:"-"`
}

// Port is what a port of the guest leads to: In and Out, or one of File, Socket,
// Listener and PTY. None of them: what the guest writes is discarded.
type Port struct {
	// Name is what the guest finds in /dev/virtio-ports; a Console needs none.
	Name string
	// Console makes it a terminal: hvc0 is the first of them. What nobody reads for
	// two seconds is lost then, since a kernel waits for its console; other ports
	// wait for ever.
	Console bool
	// In is read until its end or Close. Input may also come by Input(i).Receive.
	In io.Reader
	// Out gets what the guest writes.
	Out io.Writer
	// File is a path that output is appended to. Several machines may append to one
	// file: their output is mixed. A FIFO needs a reader when the device is made.
	File string
	// Limit is the size in bytes up to which File grows, or the most that Out gets; what
	// comes after is lost. 0: there is none.
	Limit uint64
	// Socket is a path at which the device listens, for one client at a time.
	Socket string
	// Listener is a socket made by somebody else, in place of one at Socket: a Unix
	// stream socket that listens. The device closes it, also where New fails, and makes
	// it non-blocking for all that share it.
	Listener *os.File
	// PTY is a path at which the device makes a link to a terminal of its own. A link
	// to the terminal of a device that is still open is not replaced.
	PTY string
	// Seen, if not nil, is shown what the guest writes. It must not block.
	Seen func([]byte) `json:"-"`
}

// Check tells what is wrong with a Config, without a look at the host.
func (c Config) Check() error {
	if len(c.Ports) == 0 || len(c.Ports) > MaxPorts {
		return virtio.DeviceErrorf(name, "ports: %d; there are 1 to %d", len(c.Ports), MaxPorts)
	}
	names := map[string]int{}
	for i := range c.Ports {
		p := &c.Ports[i]
		if err := p.check(); err != nil {
			return virtio.DeviceErrorf(name, "port %d: %w", i, err)
		}
		if j, twice := names[p.Name]; twice && p.Name != "" {
			return virtio.DeviceErrorf(name, "port %d: name: %q is port %d's too", i, p.Name, j)
		}
		names[p.Name] = i
	}
	return nil
}

func (p *Port) check() error {
	ways := 0
	for _, set := range [...]bool{p.In != nil || p.Out != nil, p.File != "", p.Socket != "", p.Listener != nil, p.PTY != ""} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("it leads to more than one place: give one of file, socket, listener and pty")
	case p.Name == "" && !p.Console:
		return errors.New("name: a port that is no console needs one")
	case p.Socket != "" && unixsocket.CheckPath(p.Socket, 0) != nil:
		return fmt.Errorf("socket: %w", unixsocket.CheckPath(p.Socket, 0))
	case p.Limit != 0 && p.File == "" && p.Out == nil:
		return errors.New("limit: it is for output to a file; the reader of a socket or a pty keeps its own")
	case len(p.Name) > MaxName:
		return fmt.Errorf("name: %d bytes; at most %d", len(p.Name), MaxName)
	}
	for i := range len(p.Name) {
		if b := p.Name[i]; b <= ' ' || b > '~' || b == '/' {
			return fmt.Errorf("name: %q: printable ASCII without blanks and slashes", p.Name)
		}
	}
	return nil
}

// Feature bits (section 5.3.3).
const (
	featureSize      virtio.Feature = 1 << 0
	featureMultiport virtio.Feature = 1 << 1
	featureEmergency virtio.Feature = 1 << 2
)

// Device is a console device. It implements virtio.Device.
type Device struct {
	ports []*port
	multi bool // more than the one simple terminal
	sizes []uint16
	stats counters

	report func(error)

	window atomic.Uint32 // of port 0: columns, and rows << 16

	mu      sync.Mutex
	session *virtio.Session // the last one
	runs    bool
	ready   bool // the driver wants to hear of ports
	loops   []*virtio.Loop
}

// New opens what the ports lead to.
func New(c Config) (*Device, error) {
	d, err := newDevice(c)
	if err != nil {
		c.Discard()
		return nil, err
	}
	return d, nil
}

func newDevice(c Config) (*Device, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	first := &c.Ports[0]
	d := &Device{multi: len(c.Ports) > 1 || first.Name != "" || !first.Console, report: func(error) {}}
	if c.Report != nil {
		d.report = func(err error) { c.Report(virtio.Named(name, err)) }
	}
	for i := range c.Ports {
		p, err := newPort(d, i, c.Ports[i])
		if err != nil {
			for _, p := range d.ports {
				close(p.out.done) // nobody writes yet whom Close would wait for
			}
			d.Close()
			return nil, virtio.DeviceErrorf(name, "port %d: %w", i, err)
		}
		d.ports = append(d.ports, p)
		d.sizes = append(d.sizes, portQueue, portQueue)
		if i == 0 && d.multi {
			d.sizes = append(d.sizes, controlQueue, controlQueue)
		}
	}
	for _, p := range d.ports {
		p.begin()
	}
	return d, nil
}

const (
	portQueue    = 128
	controlQueue = 64
)

// Type is virtio.TypeConsole.
func (d *Device) Type() virtio.Type { return virtio.TypeConsole }

// Features are a size, a register for emergency writes and, with more than a terminal,
// ports.
func (d *Device) Features() virtio.Feature {
	f := featureSize | featureEmergency
	if d.multi {
		f |= featureMultiport
	}
	return f
}

// QueueSizes are those of port 0 (to the guest, from it), of the control messages,
// and of the other ports (section 5.3.2).
func (d *Device) QueueSizes() []uint16 { return d.sizes }

// ReadConfig reads (section 5.3.4): u16 cols, u16 rows, u32 max_nr_ports.
func (d *Device) ReadConfig(off uint64, p []byte) {
	var space [12]byte
	binary.LittleEndian.PutUint32(space[0:], d.window.Load())
	binary.LittleEndian.PutUint32(space[4:], uint32(len(d.ports)))
	virtio.ReadSpace(space[:], off, p)
}

// emergency is the offset of emerg_wr: a byte written there is output of port 0,
// queues or not.
const emergency = 8

// WriteConfig takes emergency writes (emerg_wr).
func (d *Device) WriteConfig(off uint64, p []byte) {
	if off == emergency && len(p) > 0 {
		d.ports[0].emergency(p[0])
	}
}

// queues of port i: to the guest, and from it.
func queues(i int) (rx, tx int) {
	if i == 0 {
		return 0, 1
	}
	return 2 + 2*i, 3 + 2*i
}

const (
	controlRx = 2
	controlTx = 3
)

// Start serves the queues.
func (d *Device) Start(s *virtio.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Fresh() {
		d.ready = false
		for _, p := range d.ports {
			p.todo, p.ready, p.guestOpen, p.skip = 0, false, false, 0
		}
	}
	d.session, d.runs = s, true
	multi := s.Features.Has(featureMultiport)
	if multi {
		d.serve(s, controlRx, d.control, d.talkative)
		d.serve(s, controlTx, d.orders, nil)
	}
	for i, p := range d.ports {
		if i > 0 && !multi {
			break
		}
		rx, tx := queues(i)
		p.attach(s.Queue(rx), s.Queue(tx), !multi)
		d.serve(s, rx, p.input, p.in.waits)
		d.serve(s, tx, p.output, p.out.hasRoom, &p.out.timer)
	}
	return nil
}

func (d *Device) serve(s *virtio.Session, i int, work func(*virtio.Queue) bool, wants func() bool, timers ...*virtio.Timer) {
	if q := s.Queue(i); q != nil {
		d.loops = append(d.loops, s.ServeWhile(q, func() bool { return work(q) }, wants, timers...))
	}
}

// Stop ends that. What a port's host has not taken stays in the ring.
func (d *Device) Stop() {
	d.mu.Lock()
	d.runs = false
	for _, p := range d.ports {
		p.attach(nil, nil, false)
	}
	loops := d.loops
	d.loops = nil
	d.mu.Unlock()
	for _, l := range loops {
		l.Stop()
	}
}

// lostCause is why output of a File or an Out was lost, or nil: the first of the
// ports' errors.
func (d *Device) lostCause() error {
	for _, p := range d.ports {
		if err := p.lostCause(); err != nil {
			return virtio.DeviceErrorf(name, "port %d: %w", p.index, err)
		}
	}
	return nil
}

// Close writes out what is left, for a few seconds, and releases what New opened.
// A Read of In or a Write of Out that is under way and can't be interrupted keeps
// its goroutine until it returns.
func (d *Device) Close() error { return d.CloseWithin(closeLimit) }

// CloseWithin is Close with another limit.
func (d *Device) CloseWithin(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	var err error
	for _, p := range d.ports {
		err = errors.Join(err, p.close(deadline))
	}
	return err
}

// Directories are those of sockets and of links to terminals. It makes the device a
// virtio.FileDevice.
func (d *Device) Directories() (list []int) {
	for _, p := range d.ports {
		list = append(list, p.removals...)
	}
	return list
}

// Resize tells the guest the size of a console's window. It may come at any time.
// An error says that there is no such port.
func (d *Device) Resize(port int, cols, rows uint16) error {
	if port < 0 || port >= len(d.ports) {
		return virtio.DeviceErrorf(name, "there is no port %d", port)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.ports[port]
	if p.cols == cols && p.rows == rows {
		return nil
	}
	p.cols, p.rows = cols, rows
	if port == 0 {
		d.window.Store(uint32(cols) | uint32(rows)<<16)
		if d.session != nil {
			d.session.ConfigChanged()
		}
	}
	if p.cfg.Console && p.ready {
		d.order(p, doSize)
	}
	return nil
}

// Input is a port's end for a program that pushes input.
func (d *Device) Input(port int) *Input {
	if port < 0 || port >= len(d.ports) {
		return nil
	}
	return &d.ports[port].in
}

// PTY is the name of a port's terminal, as in /dev/pts/3; "": it has none.
func (d *Device) PTY(port int) string {
	if port < 0 || port >= len(d.ports) {
		return ""
	}
	return d.ports[port].ptyName
}

// Repeat implements virtio.Counted: it always is so.
func (d *Device) Repeat() {}

// Answers implements virtio.Counted: what the driver writes is taken; what is typed comes when it comes.
func (d *Device) Answers(queue int) bool { return queue%2 == 1 }
