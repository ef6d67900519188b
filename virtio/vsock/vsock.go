// Package vsock is the virtio socket device (section 5.10): stream sockets
// between guest and host, without a network. On the host they end in Unix
// sockets, with the protocol of Firecracker:
//
//	host to guest  connect to Config.Path, write "CONNECT 52\n", read "OK 1073741824\n":
//	               the line to whoever listens on port 52 in the guest. A refusal closes
//	               the socket.
//	guest to host  connecting to port 52 of CID 2 connects to the Unix socket Path_52.
//
// Or the host's kernel does all of it (Config.VHost), with sockets of AF_VSOCK.
//
// One goroutine serves both queues and all sockets (loop.go), so nothing here is
// locked. The kernel copies data between guest buffers and sockets; only what a
// socket has no room for is copied here, and waits in a buffer that the credit of
// the guest bounds (credit.go).
package vsock

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/internal/vhost"
)

// HostCID is the host's address.
const HostCID = 2

// Bounds of a Config.
const (
	MinCID                = 3
	MaxCID                = 1<<32 - 2 // 0xFFFFFFFF is any address
	DefaultMaxConnections = 1023
	MostConnections       = 65535
	DefaultMode           = 0o600
	// MaxPath leaves room in a Unix address (108 bytes) for "_4294967295" and a NUL.
	MaxPath = 96
)

// Config is the device. One of Path, Listener and VHost is set; the zero value of each other
// field is its default.
type Config struct {
	// CID is the guest's address, 3 to 0xFFFFFFFE; 0: 3.
	CID uint64
	// Path is the Unix socket to which the host connects; the guest's connections to
	// port P go to Path_P. New makes it, Close removes it.
	Path string
	// Listener is the socket to which the host connects, made by somebody else: a Unix
	// stream socket that listens. Nothing is made or removed at Path then; where Path is
	// empty, the guest's connections are refused. The device closes Listener, also where
	// New fails, and makes it non-blocking for all that share it.
	Listener *os.File
	// Mode is the socket file's permissions; 0: 0600.
	Mode os.FileMode
	// MaxConnections is the most connections at a time; 0: 1023. What the guest sent
	// and nobody has read takes at most 16 KiB of memory for each, and 8 MiB for all.
	MaxConnections int
	// VHost leaves the work to the host's kernel (/dev/vhost-vsock). The guest then
	// reaches every AF_VSOCK listener of the host.
	VHost bool

	packed bool // the driver may use packed virtqueues; see ForPacked
}

func (c Config) withDefaults() Config {
	if c.CID == 0 {
		c.CID = MinCID
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	if c.Mode == 0 {
		c.Mode = DefaultMode
	}
	return c
}

// Check returns what is wrong with a Config, without asking the host.
func (c Config) Check() error {
	c = c.withDefaults()
	switch {
	case c.CID < MinCID || c.CID > MaxCID:
		return virtio.DeviceErrorf(name, "cid: %d; a guest has %d to %d", c.CID, MinCID, uint64(MaxCID))
	case c.VHost && c.Listener != nil:
		return virtio.DeviceErrorf(name, "listener: with vhost the kernel listens, for sockets of its own; leave one of them out")
	case c.VHost && c.Path != "":
		return virtio.DeviceErrorf(name, "path: %q with vhost: the kernel's sockets have no path; leave one of them out", c.Path)
	case c.VHost && c.packed:
		return virtio.DeviceErrorf(name, "vhost: the kernel does not know packed virtqueues; leave out one of the two")
	case c.VHost:
		return nil
	case c.Path == "" && c.Listener == nil:
		return virtio.DeviceErrorf(name, "path: the device needs a path for its Unix socket, or vhost")
	case c.Mode&^os.ModePerm != 0:
		return virtio.DeviceErrorf(name, "mode: %#o; only permissions, such as 0660", uint32(c.Mode))
	case c.MaxConnections < 0 || c.MaxConnections > MostConnections:
		return virtio.DeviceErrorf(name, "max-connections: %d; there are 1 to %d", c.MaxConnections, MostConnections)
	}
	if err := unixsocket.CheckPath(c.Path, unixsocket.MaxPath-MaxPath); err != nil && c.Path != "" {
		return virtio.DeviceErrorf(name, "path: %w", err)
	}
	return nil
}

// Numbers of the queues.
const (
	rxQueue    = 0
	txQueue    = 1
	eventQueue = 2
)

// Feature bits (section 5.10.3).
const (
	featureStream    virtio.Feature = 1 << 0
	featureSeqpacket virtio.Feature = 1 << 1 // the kernel's alone
)

// Linux fills the receive queue with buffers of 4 KiB.
var queueSizes = []uint16{128, 128, 8}

// Device is a socket device. It implements virtio.Device.
type Device struct {
	cfg      Config
	space    [8]byte // guest_cid
	session  *virtio.Session
	restored bool // the driver is to be told that its connections are gone
	events   *virtio.Loop
	stats    counters

	listener *unixsocket.Listener // nil with vhost
	dialer   virtio.Dial          // nil: the loop connects by itself
	loop     *loop                // nil before the first driver
	kernel   *vhost.Device        // nil without
	known    virtio.Feature
	runs     bool // the kernel
}

// New opens the Unix socket, or the kernel's device. All else waits for a driver:
// it would cost the start of the machine 0.2 ms, most of them in Go's poller, whose
// first use wakes threads. Who connects before is served then.
func New(c Config) (*Device, error) {
	if err := c.Check(); err != nil {
		c.Discard()
		return nil, err
	}
	c = c.withDefaults()
	d := &Device{cfg: c}
	binary.LittleEndian.PutUint64(d.space[:], c.CID)
	var err error
	switch {
	case c.VHost:
		err = d.openKernel()
	case c.Listener != nil:
		if d.listener, err = unixsocket.Take(c.Listener); err != nil {
			err = fmt.Errorf("listener: %w", err)
		}
	default:
		d.listener, err = unixsocket.Listen(c.Path, c.Mode)
	}
	if err != nil {
		return nil, virtio.Named(name, err)
	}
	return d, nil
}

// Directories is that of the socket. It makes the device a virtio.FileDevice.
func (d *Device) Directories() []int {
	if d.listener == nil {
		return nil
	}
	return d.listener.Directories()
}

// Peers are the sockets of the ports to which the guest connects. They make the device a
// virtio.PeerDevice.
func (d *Device) Peers() []virtio.Peer {
	if d.listener == nil || d.cfg.Path == "" {
		return nil
	}
	return []virtio.Peer{{Path: d.cfg.Path, Ports: true}}
}

// DialWith has connections to them made by dial. It comes before Start.
func (d *Device) DialWith(dial virtio.Dial) { d.dialer = dial }

// Type is virtio.TypeVsock.
func (d *Device) Type() virtio.Type { return virtio.TypeVsock }

// Features are stream sockets; the kernel has more.
func (d *Device) Features() virtio.Feature {
	if d.kernel != nil {
		return d.known & featureSeqpacket
	}
	return featureStream
}

// QueueSizes are those of receiving, transmitting and events.
func (d *Device) QueueSizes() []uint16 { return queueSizes }

// ReadConfig reads guest_cid.
func (d *Device) ReadConfig(off uint64, p []byte) { virtio.ReadSpace(d.space[:], off, p) }

// WriteConfig does nothing.
func (d *Device) WriteConfig(uint64, []byte) {}

// Start serves the queues. Connections live as long as the session: what a new
// driver has not opened itself is closed.
func (d *Device) Start(s *virtio.Session) error {
	fresh := s.Fresh()
	d.session = s
	d.restored = d.restored && !fresh
	var err error
	if d.kernel != nil {
		err = d.startKernel(s)
	} else {
		err = d.startLoop(s, fresh)
	}
	if err == nil && d.restored {
		d.tellReset(s)
	}
	return err
}

func (d *Device) startLoop(s *virtio.Session, fresh bool) (err error) {
	if d.loop == nil {
		if d.loop, err = newLoop(d.cfg, d.listener, d.dialer, &d.stats); err != nil {
			return err
		}
	}
	return d.loop.start(s, fresh)
}

// Stop ends that; connections stay open, and nobody reads them.
func (d *Device) Stop() {
	if d.events != nil {
		d.events.Stop()
		d.events = nil
	}
	switch {
	case d.kernel != nil:
		d.stopKernel()
	case d.loop != nil:
		d.loop.stop()
	}
}

// Close ends all connections and removes the socket.
func (d *Device) Close() error {
	if d.kernel != nil {
		return d.kernel.Close()
	}
	if d.loop != nil {
		d.loop.close()
	}
	d.listener.Close()
	return nil
}

// tellReset sends the one event that there is, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET
// (section 5.10.6.7): le32 0. Linux then closes its connections and reads its
// address anew.
func (d *Device) tellReset(s *virtio.Session) {
	q := s.Queue(eventQueue)
	if q == nil {
		return
	}
	var c virtio.Chain
	d.events = s.ServeWhile(q, func() bool {
		if !d.restored || !q.Pop(&c) {
			return false
		}
		d.restored = false
		var id [4]byte
		q.Push(&c, c.In.CopyIn(id[:], 0))
		q.Flush()
		return true
	}, func() bool { return d.restored })
}
