package blk

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Resize looks at the image's size anew and tells the driver if it has changed.
// Requests behind a new, nearer end fail.
func (d *Device) Resize() error {
	d.mu.Lock()
	if d.image == nil {
		d.mu.Unlock()
		return fmt.Errorf("disk %s: is closed", d.config.Path)
	}
	if err := d.image.Refresh(); err != nil {
		d.mu.Unlock()
		return fmt.Errorf("disk %s: %w", d.config.Path, err)
	}
	size := d.image.Size()
	changed := d.capacity.Swap(size) != size
	s := d.session
	running := d.running
	d.mu.Unlock()
	if changed && running {
		s.ConfigChanged()
	}
	return nil
}

// Change puts another image in the place of the disk's, between two requests, as
// one changes the medium in a drive, and tells the driver the new size. What a
// driver learnt when it started can't change: whether the disk is read-only, its
// block size, the number and size of its queues. If there is an error, all stays as
// it was.
func (d *Device) Change(c Config) error {
	if err := c.Check(); err != nil {
		return err
	}
	s, err := d.change(c)
	if s != nil {
		s.ConfigChanged()
	}
	return err
}

// change returns the session that is to be told.
func (d *Device) change(c Config) (*virtio.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.image == nil {
		return nil, fmt.Errorf("disk %s: is closed", d.config.Path)
	}
	if c.ReadOnly != d.config.ReadOnly {
		return nil, fmt.Errorf("disk %s: a disk can't become read-only or writable while it is in use: readonly must stay %v", c.Path, d.config.ReadOnly)
	}
	img, err := openImage(&c)
	if err != nil {
		return nil, err
	}
	if b := img.Blocks().Logical; b > d.blocks.Logical {
		img.Close()
		return nil, fmt.Errorf("disk %s: has blocks of %d bytes, and the guest uses %d", c.Path, b, d.blocks.Logical)
	}
	if c.Report == nil {
		c.Report = d.config.Report
	}
	running := d.running
	d.stop()
	d.image.Close()
	d.adopt(c, img)
	d.limiter.Set(c.Limits)
	if !running {
		return nil, nil
	}
	d.start()
	for _, w := range d.workers {
		w.queue.Bell().Signal()
	}
	return d.session, nil
}

// SetLimits changes the limits. Requests that wait for the old ones are looked at
// again at once.
func (d *Device) SetLimits(c ratelimit.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := c.Check(); err != nil {
		return fmt.Errorf("disk %s: limits: %w", d.config.Path, err)
	}
	d.config.Limits = c
	d.limiter.Set(c)
	for _, w := range d.workers {
		w.queue.Bell().Signal()
	}
	return nil
}
