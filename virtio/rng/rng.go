// Package rng is the virtio entropy device (section 5.4): one queue, whose
// buffers it fills from the host's random generator.
package rng

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// MaxRequest is the most bytes that one request gets. A guest that asks for more
// is answered with as much, as section 5.4.6 allows: else one request of 4 GiB
// would keep the host busy for seconds. Linux asks for 64 at a time.
const MaxRequest = 64 << 10

// batch is how many requests are served before the driver is told.
const batch = 32

// Config is the device. The zero value is a device without limits.
type Config struct {
	// Limits hold the guest to so many bytes and requests a second: each byte costs
	// the host time.
	Limits ratelimit.Config
}

// Device is an entropy device. It implements virtio.Device.
type Device struct {
	limiter *ratelimit.Limiter
	same    *rand.ChaCha8 // see Repeat; nil: the host's generator
	stats   counters
	loop    *virtio.Loop
	chain   virtio.Chain
	held    virtio.Vec   // chain's, cut to MaxRequest
	limited virtio.Timer // when the limits let the next request through
	changed atomic.Bool  // the limits were, since limited was set

	mu    sync.Mutex
	queue *virtio.Queue // nil between sessions
}

// Check returns what is wrong with a Config.
func (c Config) Check() error {
	if err := c.Limits.Check(); err != nil {
		return virtio.DeviceErrorf(name, "limits: %w", err)
	}
	return nil
}

// New makes a device.
func New(c Config) (*Device, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &Device{limiter: ratelimit.New(c.Limits)}, nil
}

// Type is virtio.TypeEntropy.
func (d *Device) Type() virtio.Type { return virtio.TypeEntropy }

// Features are none: section 5.4.3.
func (d *Device) Features() virtio.Feature { return 0 }

// QueueSizes is one queue. Linux has one request under way.
func (d *Device) QueueSizes() []uint16 { return queueSizes }

var queueSizes = []uint16{64}

// ReadConfig finds nothing: the device has no configuration space.
func (d *Device) ReadConfig(off uint64, p []byte) { clear(p) }

// WriteConfig does nothing.
func (d *Device) WriteConfig(uint64, []byte) {}

// Start serves the queue.
func (d *Device) Start(s *virtio.Session) error {
	q := s.Queue(0)
	if q == nil {
		return nil
	}
	d.mu.Lock()
	d.queue = q
	d.mu.Unlock()
	d.limited.Stop()
	d.loop = s.ServeWhile(q, func() bool { return d.work(q) }, func() bool { return !d.limited.IsSet() }, &d.limited)
	return nil
}

// Stop ends that. A request that waits for the limits stays in the ring.
func (d *Device) Stop() {
	if d.loop != nil {
		d.loop.Stop()
		d.loop = nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = nil
}

// State is nil: nothing is to be remembered.
func (d *Device) State() any { return nil }

// SetState takes that.
func (d *Device) SetState(s any) error {
	if s != nil {
		return virtio.DeviceErrorf(name, "the saved state is not an entropy device's")
	}
	return nil
}

// Close has nothing to give back.
func (d *Device) Close() error { return nil }

// SetLimits changes the limits. A request that waits for the old ones is served by
// the new ones.
func (d *Device) SetLimits(c ratelimit.Config) error {
	if err := c.Check(); err != nil {
		return virtio.DeviceErrorf(name, "limits: %w", err)
	}
	d.limiter.Set(c)
	d.changed.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.queue != nil {
		d.queue.Wake()
	}
	return nil
}

// Repeat implements virtio.Counted: bytes are those of ChaCha8 with a seed of zeroes, and no secret.
func (d *Device) Repeat() { d.same = rand.NewChaCha8([32]byte{}) }

// Answers implements virtio.Counted: each request is answered.
func (d *Device) Answers(int) bool { return true }
