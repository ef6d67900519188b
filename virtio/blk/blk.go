// Package blk is the virtio block device (section 5.2).
//
// # The way of a request
//
//	Pop ─► parse ─► limits ─► page cache (inline) ─────────────► finish ─► Push
//	                              └─► io_uring or threads ─► reap ──┘
//
// What the page cache has is read, and what goes into it is written, by the
// queue's own goroutine in one system call: no ring, thread or wake-up takes part.
// What must wait for a disk goes to an engine: io_uring, whose completions the
// goroutine polls for while it spins, and then sleeps for in the kernel, where the
// driver's kicks wake it too; or a few threads, which wake the loop. All transfers
// go straight to and from guest memory.
package blk

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/sys/uring"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Device is a disk. It implements virtio.Device.
type Device struct {
	inOrder bool // see Repeat
	sizes   []uint16
	blocks  disk.Blocks // the first image's: a driver keeps to what it has read
	limiter *ratelimit.Limiter
	stats   counters
	report  reporter

	readOnly bool

	writeback atomic.Bool // the driver's choice (CONFIG_WCE)
	capacity  atomic.Int64
	serial    atomic.Value // string

	mu      sync.Mutex // of what follows
	config  Config
	image   disk.Image
	rings   []*uring.Ring   // for the image's file, by queue; nil: none
	session *virtio.Session // the last one
	running bool
	workers []*worker
}

// New opens the disk.
func New(c Config) (*Device, error) {
	img, err := openImage(&c)
	if err != nil {
		return nil, err
	}
	d := &Device{limiter: ratelimit.New(c.Limits), blocks: img.Blocks(), readOnly: c.ReadOnly}
	d.blocks.Logical = max(d.blocks.Logical, disk.SectorSize)
	for range max(c.Queues, 1) {
		size := c.QueueSize
		if size == 0 {
			size = DefaultQueueSize
		}
		d.sizes = append(d.sizes, uint16(size))
	}
	d.writeback.Store(true)
	if err := d.openRings(c, img); err != nil {
		img.Close()
		return nil, err
	}
	d.adopt(c, img)
	return d, nil
}

// openImage checks c and opens what it names. Where that fails it closes what c hands over.
func openImage(c *Config) (disk.Image, error) {
	if err := c.Check(); err != nil {
		c.Discard()
		return nil, err
	}
	img, err := c.Image, error(nil)
	if img == nil {
		img, err = disk.Open(disk.Options{Path: c.Path, File: c.File, Format: c.Format, ReadOnly: c.ReadOnly, Direct: c.Direct, Backing: c.Backing})
		if err != nil {
			return nil, imageError(c, err)
		}
	}
	if !c.ReadOnly && img.ReadOnly() {
		img.Close()
		return nil, virtio.DeviceErrorf(c.DeviceName(), "can only be read; make it read-only (readonly)")
	}
	if c.Engine == IOUring {
		if img.File() == nil {
			img.Close()
			return nil, virtio.DeviceErrorf(c.DeviceName(), "engine: io_uring reads raw images only; leave the engine out")
		}
	}
	return img, nil
}

// openRings makes the device's rings where the engine can be io_uring.
func (d *Device) openRings(c Config, img disk.Image) (err error) {
	if c.Engine == Threads || img.File() == nil {
		return nil
	}
	d.rings, err = makeRings(d.sizes, img.File())
	if err != nil && c.Engine == IOUring {
		return virtio.DeviceErrorf(c.DeviceName(), "engine: %w; leave the engine out, or let threads wait (Threads)", err)
	}
	return nil
}

// imageError is the disk's error for one of disk.Open.
func imageError(c *Config, err error) error {
	if e, ok := err.(*disk.Error); ok {
		err = e.Err // the disk is named by the same path
	}
	return virtio.Named(c.DeviceName(), err)
}

// adopt makes img the disk's image. Nothing runs.
func (d *Device) adopt(c Config, img disk.Image) {
	d.config, d.image = c, img
	d.capacity.Store(img.Size())
	d.serial.Store(c.Serial)
	d.report.set(c.DeviceName(), c.Report)
	if w := img.Warning(); w != "" && c.Report != nil {
		c.Report(virtio.DeviceErrorf(c.DeviceName(), "%s", w))
	}
}

// Type is virtio.TypeBlock.
func (d *Device) Type() virtio.Type { return virtio.TypeBlock }

// QueueSizes are those of the Config.
func (d *Device) QueueSizes() []uint16 { return d.sizes }

// Start serves each queue that the driver has set up.
func (d *Device) Start(s *virtio.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.Fresh() {
		// Section 5.2.5.2: a driver that can toggle but not flush begins without a cache.
		d.writeback.Store(s.Features.Has(featureFlush))
	}
	d.session = s
	return d.start()
}

func (d *Device) start() error {
	d.running = true
	for i, q := range d.session.Queues {
		if q == nil {
			continue
		}
		var u *uring.Ring
		if d.rings != nil {
			u = d.rings[i]
		}
		w := newWorker(d, d.session, q, u)
		if err := w.serve(); err != nil {
			d.stop()
			return err
		}
		d.workers = append(d.workers, w)
	}
	return nil
}

// Stop finishes what is under way. Requests that the limits hold back stay in
// their ring.
func (d *Device) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
}

func (d *Device) stop() {
	for _, w := range d.workers {
		w.stop()
	}
	if slices.ContainsFunc(d.workers, func(w *worker) bool { return w.ring != nil && w.ring.flight > 0 }) {
		// After a fault: what comes back some time is not for the next worker.
		closeRings(d.rings)
		d.rings = nil
	}
	d.workers, d.running = nil, false
}

// Close closes the image.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stop()
	if d.image == nil {
		return nil
	}
	closeRings(d.rings)
	err := d.image.Close()
	d.image, d.rings = nil, nil
	return err
}

// Repeat implements virtio.Counted: the host has one request at a time.
func (d *Device) Repeat() { d.inOrder = true }

// Answers implements virtio.Counted: what the driver asks of the disk is answered.
func (d *Device) Answers(int) bool { return true }
