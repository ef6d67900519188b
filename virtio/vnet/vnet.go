// Package vnet is the virtio network device (section 5.1).
//
// # The ways of a frame
//
//	tap     readv and writev between the tap and the driver's buffers: no copy
//	vhost   the host's kernel does it, and this process sleeps
//	stream  a Unix socket, each frame behind its length: passt, mayfly-usernet, QEMU
//
// A pair of queues has one virtio.Loop on a tap, and one for each queue on a stream.
package vnet

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/internal/vhost"
)

// controlSize is the size of the control queue.
const controlSize = 64

// spin is how long at most a queue is looked at for more before its driver is asked
// to ring, which costs the guest an exit.
const spin = 30 * time.Microsecond

// Device is a network card. It implements virtio.Device.
type Device struct {
	config   Config
	features virtio.Feature
	sizes    []uint16
	maxPairs int
	mtu      int
	space    space
	stats    counters
	rx, tx   *ratelimit.Limiter
	spin     time.Duration

	cable  atomic.Bool // the far end is there
	pulled atomic.Bool
	linkMu sync.Mutex                     // of linkChanged
	notify atomic.Pointer[virtio.Session] // whom to tell of changes
	untold atomic.Bool                    // there was one, and nobody to tell

	tap    *tap.Tap
	kernel []*vhost.Device // one a pair; none: frames pass this process
	stream *stream         // nil with a tap
	child  *child          // mayfly-usernet

	mu       sync.Mutex // of what follows
	started  bool
	restored bool
	pairs    int
	offloads virtio.Feature
	movers   []mover
	control  *virtio.Loop
	watch    *watch
	handed   []handed // queues that the kernel has
}

var _ virtio.Device = (*Device)(nil)

// New opens what the card's cable ends in.
func New(c Config) (*Device, error) {
	if err := c.Check(); err != nil {
		c.Discard()
		return nil, err
	}
	d := &Device{config: c, rx: ratelimit.New(c.RX), tx: ratelimit.New(c.TX), maxPairs: max(c.Queues, 1), mtu: c.MTU, pairs: 1, spin: spin}
	if err := d.open(); err != nil {
		d.Close()
		return nil, virtio.Named(c.DeviceName(), err)
	}
	d.shape()
	return d, nil
}

func (d *Device) open() error {
	switch k := d.config.kind(); {
	case k == Tap:
		t, err := tap.Open(tap.Config{Name: d.config.Tap, Bridge: d.config.Bridge, Queues: d.maxPairs, MTU: d.config.MTU})
		if err != nil {
			return err
		}
		return d.useTap(t)
	case k == FD && !isSocket(d.config.FDs[0]):
		d.maxPairs = len(d.config.FDs)
		t, err := tap.FromFDs(d.config.FDs)
		if err != nil {
			return err
		}
		return d.useTap(t)
	case k == FD:
		if len(d.config.FDs) > 1 {
			d.config.Discard()
			return errors.New("a socket is one descriptor")
		}
		return d.useFD(d.config.FDs[0])
	case d.config.Socket != "":
		return d.useSocket(d.config.Socket)
	default:
		return d.useUser()
	}
}

func (d *Device) useTap(t *tap.Tap) error {
	d.tap = t
	if d.mtu == 0 {
		mtu, err := t.MTU()
		if err != nil {
			return err
		}
		d.mtu = min(mtu, MaxFrameMTU)
	}
	d.cable.Store(true)
	d.features |= offered(t.Offloads())
	if t.Offloads() != 0 {
		d.features |= FeatureGuestOffloads
	}
	return d.useKernel()
}

// shape makes of what was opened what the driver sees.
func (d *Device) shape() {
	if d.mtu == 0 {
		d.mtu = defaultMTU
	}
	d.space.init(d.address(), d.maxPairs, d.mtu)
	d.space.setStatus(statusLinkUp, d.linkUp())
	d.features |= FeatureMTU | FeatureMAC | FeatureMergeable | FeatureStatus | FeatureSpeed | FeatureAnnounce |
		FeatureControl | FeatureControlRX | FeatureControlRXMore | FeatureControlMAC
	if d.maxPairs > 1 {
		d.features |= FeatureQueues
	}
	d.features &^= d.kernelLacks()
	size := d.config.QueueSize
	if size == 0 {
		size = DefaultQueueSize
	}
	for range 2 * d.maxPairs {
		d.sizes = append(d.sizes, uint16(size))
	}
	d.sizes = append(d.sizes, controlSize)
}

// address is the card's before a driver changes it.
func (d *Device) address() MAC {
	if d.config.MAC != "" {
		mac, _ := ParseMAC(d.config.MAC) // Check has read it
		return mac
	}
	seed := d.config.Name + "\x00" + d.tapName()
	var host unix.Utsname
	if d.tap != nil && unix.Uname(&host) == nil {
		seed += "\x00" + unix.ByteSliceToString(host.Nodename[:]) // two hosts may share the tap's network
	}
	return GenerateMAC(seed)
}

const defaultMTU = 1500

func (d *Device) tapName() string {
	if d.tap == nil {
		return ""
	}
	return d.tap.Name()
}

// Type, Features, QueueSizes, ReadConfig and WriteConfig are virtio.Device's.
func (d *Device) Type() virtio.Type { return virtio.TypeNet }

// Features are what the cable can do and what the card does itself.
func (d *Device) Features() virtio.Feature { return d.features }

// QueueSizes are those of the pairs (receive, transmit), then the control queue's.
func (d *Device) QueueSizes() []uint16 { return d.sizes }

// ReadConfig reads the configuration space.
func (d *Device) ReadConfig(off uint64, p []byte) { d.space.read(off, p) }

// WriteConfig does nothing: since version 1 a driver sets its address by the
// control queue.
func (d *Device) WriteConfig(uint64, []byte) {}

// MAC is the guest's address.
func (d *Device) MAC() MAC { return d.space.mac() }

// MTU is the cable's, in bytes.
func (d *Device) MTU() int { return d.mtu }

// TapName is the name of the host's interface; empty where there is none.
func (d *Device) TapName() string { return d.tapName() }

// VHost tells whether the host's kernel moves the frames.
func (d *Device) VHost() bool { return len(d.kernel) > 0 }

// Close gives back what New has opened.
func (d *Device) Close() error {
	d.notify.Store(nil)
	var errs []error
	for _, k := range d.kernel {
		errs = append(errs, k.Close())
	}
	d.kernel = nil
	if d.child != nil {
		d.child.closing()
	}
	if d.stream != nil {
		d.stream.close()
	}
	if d.child != nil {
		d.child.close()
	}
	if d.tap != nil {
		errs = append(errs, d.tap.Close())
		d.tap = nil
	}
	return errors.Join(errs...)
}
