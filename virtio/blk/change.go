package blk

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Refresh reads the image's size again and notifies the driver if it has changed.
// Requests beyond a new, nearer end fail.
func (d *Device) Refresh() error {
	d.mu.Lock()
	if d.image == nil {
		d.mu.Unlock()
		return virtio.DeviceErrorf(d.config.DeviceName(), "is closed")
	}
	if err := d.image.Refresh(); err != nil {
		d.mu.Unlock()
		return virtio.Named(d.config.DeviceName(), err)
	}
	size := d.image.Size()
	changed := d.capacity.Swap(size) != size
	s := d.session
	d.mu.Unlock()
	if changed && s != nil {
		s.ConfigChanged()
	}
	return nil
}

// Change puts another image in the place of the disk's, between two requests, as
// one changes the medium in a drive, and tells the driver the new size. What a
// driver learnt when it started can't change: whether the disk is read-only, its
// block size, the number and size of its queues. If there is an error, all stays as
// it was. The configuration is a Config of this package.
func (d *Device) Change(to virtio.DeviceConfig) error {
	c, ok := virtio.As[Config](to)
	if !ok {
		virtio.Discard([]virtio.DeviceConfig{to})
		return virtio.DeviceErrorf(d.name(), "cannot be replaced by a %T: it takes a blk.Config", to)
	}
	s, err := d.change(c)
	if s != nil {
		s.ConfigChanged()
	}
	return err
}

func (d *Device) name() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.config.DeviceName()
}

// change returns the session that is to be told.
func (d *Device) change(c Config) (*virtio.Session, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.image == nil {
		c.Discard()
		return nil, virtio.DeviceErrorf(d.config.DeviceName(), "is closed")
	}
	if c.ReadOnly != d.readOnly {
		c.Discard()
		return nil, virtio.DeviceErrorf(c.DeviceName(), "a disk can't become read-only or writable while it is in use: readonly must stay %v", d.readOnly)
	}
	img, err := openImage(&c)
	if err != nil {
		return nil, err
	}
	if b := img.Blocks().Logical; b > d.blocks.Logical {
		img.Close()
		return nil, virtio.DeviceErrorf(c.DeviceName(), "has blocks of %d bytes, and the guest uses %d", b, d.blocks.Logical)
	}
	if c.Engine == IOUring && d.rings == nil {
		img.Close()
		return nil, virtio.DeviceErrorf(c.DeviceName(), "engine: the disk has no io_uring since it was opened without; leave the engine out")
	}
	if c.Report == nil {
		c.Report = d.config.Report
	}
	running := d.running
	d.stop()
	if err := d.useRings(img); err != nil {
		// The old medium is as good as ever.
		img.Close()
		if running {
			err = errors.Join(err, d.start())
		}
		return nil, virtio.Named(c.DeviceName(), err)
	}
	d.image.Close()
	d.adopt(c, img)
	d.limiter.Set(c.Limits)
	if running {
		if err := d.start(); err != nil {
			d.session.Fail(err)
		}
	}
	for _, w := range d.workers {
		w.queue.Wake()
	}
	return d.session, nil
}

// useRings makes the image's file that of the rings. Nothing is under way.
func (d *Device) useRings(img disk.Image) error {
	fd, done := ringFile(img.File())
	defer done()
	for i, u := range d.rings {
		if err := u.ReplaceFile(theFile, fd); err != nil {
			for _, u := range d.rings[:i+1] {
				err = errors.Join(err, u.ReplaceFile(theFile, d.image.File().FD()))
			}
			return fmt.Errorf("io_uring: %w", err)
		}
	}
	return nil
}

// SetLimits changes the limits. Requests that wait for the old ones are looked at
// again at once.
func (d *Device) SetLimits(c ratelimit.Config) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := c.Check(); err != nil {
		return virtio.DeviceErrorf(d.config.DeviceName(), "limits: %w", err)
	}
	d.config.Limits = c
	d.limiter.Set(c)
	for _, w := range d.workers {
		w.queue.Wake()
	}
	return nil
}
