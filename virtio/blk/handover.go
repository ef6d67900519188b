package blk

import (
	"fmt"
	"os"
	"strings"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/virtio"
)

// handed is a Config on its way to another process.
type handed struct {
	Config
	Given bool              // a File came with it
	Open  *disk.Transferred // the image, open
}

func (c Config) stay() (handed, error) {
	if c.Report != nil {
		return handed{}, fmt.Errorf("report: a function %w; the machine's Logger is told instead", handover.ErrStays)
	}
	if c.Image != nil {
		return handed{}, fmt.Errorf("image: %w; use a File", handover.ErrStays)
	}
	h := handed{Config: c, Given: c.File != nil}
	h.File = nil
	return h, nil
}

// Handover is for mayfly.Spawn.
func (c Config) Handover(r *handover.Record) error {
	h, err := c.stay()
	if err != nil {
		return err
	}
	if c.File == nil {
		return r.Set("blk", h)
	}
	if h.Path == "" {
		h.Path = c.File.Name()
	}
	fd, err := handover.FD(c.File)
	if err != nil {
		return err
	}
	return r.Set("blk", h, fd)
}

// HandoverMedium opens a raw image for Process.ChangeDisk: a confined process opens nothing. A
// File is taken over.
func (c Config) HandoverMedium(r *handover.Record) (release func(), err error) {
	h, err := c.stay()
	if err != nil {
		c.Discard()
		return nil, err
	}
	h.Path = strings.TrimPrefix(c.DeviceName(), "disk ")
	img, err := openImage(&c)
	if err != nil {
		return nil, err
	}
	f := img.File()
	if f == nil {
		img.Close()
		return nil, virtio.DeviceErrorf(c.DeviceName(), "only a raw image can replace the medium of a disk in another process")
	}
	t, fds := f.Transfer()
	h.Given, h.Open = false, &t
	if err := r.Set("blk", h, fds...); err != nil {
		img.Close()
		return nil, virtio.Named(c.DeviceName(), err)
	}
	return func() { img.Close() }, nil
}

// Received is the configuration that was handed over.
func Received(r *handover.Record) (Config, error) {
	var h handed
	if err := r.Get(&h); err != nil {
		return Config{}, err
	}
	c := h.Config
	switch {
	case h.Open != nil:
		img, err := h.Open.Received(r.FDs)
		if err != nil {
			return Config{}, err
		}
		c.Image = img
	case h.Given && len(r.FDs) == 1:
		c.File = os.NewFile(uintptr(r.FDs[0]), c.Path)
	case h.Given || len(r.FDs) != 0:
		return Config{}, fmt.Errorf("%d descriptors for a disk", len(r.FDs))
	}
	return c, nil
}
