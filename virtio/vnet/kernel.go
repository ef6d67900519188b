package vnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/internal/vhost"
)

// handed is a queue that the kernel has.
type handed struct {
	s     *virtio.Session
	dev   *vhost.Device
	pair  int
	index int // the kernel's: 0 receives, 1 transmits
	q     *virtio.Queue
}

// useKernel opens vhost-net for each pair of queues, if that is wanted and there.
func (d *Device) useKernel() error {
	if !d.config.wantVHost() {
		return nil
	}
	for range d.maxPairs {
		k, err := vhost.Open(vhost.NetPath)
		if err != nil {
			for _, k := range d.kernel {
				k.Close()
			}
			d.kernel = nil
			if d.config.VHost == VHostOn {
				return fmt.Errorf("vhost=on: %w", err)
			}
			return nil
		}
		d.kernel = append(d.kernel, k)
	}
	f, err := d.kernel[0].Features()
	if err != nil {
		return err
	}
	if !f.Has(FeatureMergeable | virtio.FeatureVersion1) {
		return errors.New("this kernel's vhost-net is too old; leave vhost out")
	}
	return nil
}

// kernelLacks are features that the kernel's way can't have.
func (d *Device) kernelLacks() virtio.Feature {
	if len(d.kernel) == 0 {
		return 0
	}
	f, err := d.kernel[0].Features()
	if err != nil {
		return 0
	}
	return FeatureMergeable &^ f
}

// handOver gives a pair to the kernel.
func (d *Device) handOver(s *virtio.Session, pair int, rx, tx *virtio.Queue) error {
	k := d.kernel[pair]
	known, err := k.Features()
	if err != nil {
		return err
	}
	if err := k.Setup(s, s.Features&known&^vhost.FeatureNetHeader); err != nil {
		return err
	}
	for i, q := range []*virtio.Queue{rx, tx} {
		if q == nil {
			continue
		}
		if err := k.SetQueue(i, q, s.Memory); err != nil {
			return err
		}
		d.handed = append(d.handed, handed{s, k, pair, i, q})
	}
	if d.pulled.Load() {
		return nil
	}
	return d.connect(pair, true)
}

// connect gives a pair's rings their tap, or takes it away.
func (d *Device) connect(pair int, on bool) error {
	fd := -1
	if on {
		fd = d.tap.Queues()[pair].FD()
	}
	for _, h := range d.handed {
		if h.pair == pair {
			if err := h.dev.NetSetBackend(h.index, fd); err != nil {
				return err
			}
		}
	}
	return nil
}

// kernelLink is SetLink for rings that the kernel has.
func (d *Device) kernelLink(up bool) {
	for pair := range d.kernel {
		if err := d.connect(pair, up && d.cable.Load()); err != nil {
			d.tell(err)
		}
	}
}

// takeBack gets all rings back from the kernel.
func (d *Device) takeBack() {
	for pair := range d.kernel {
		if err := d.connect(pair, false); err != nil {
			d.tell(err)
		}
	}
	for _, h := range d.handed {
		if err := h.dev.StopQueue(h.index, h.q, h.s.Memory); err != nil {
			h.s.Fail(err)
		}
	}
	for _, k := range d.kernel {
		k.EndSession()
	}
	d.handed = nil
}

// watchEvery is how often a tap that the kernel serves is looked at. Nothing tells
// of its end alone: all events of a tap are those of each frame too.
const watchEvery = time.Second

type watch struct {
	quit, done chan struct{}
}

func startWatch(d *Device) *watch {
	w := &watch{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(w.done)
		t := time.NewTicker(watchEvery)
		defer t.Stop()
		for {
			select {
			case <-w.quit:
				return
			case <-t.C:
				if d.tap.Gone() {
					d.cableGone(errors.New("no such interface"))
					return
				}
			}
		}
	}()
	return w
}

func (w *watch) stop() {
	close(w.quit)
	<-w.done
}
