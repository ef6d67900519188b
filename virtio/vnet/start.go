package vnet

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Start is virtio.Device's.
func (d *Device) Start(s *virtio.Session) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := s.Fresh()
	moved := d.restored && !fresh && s.Features.Has(FeatureAnnounce)
	if fresh { // a driver that has just set the card up
		d.pairs, d.offloads = 1, s.Features&guestOffloads
		d.untold.Store(false) // it reads the space anyway
	}
	d.restored = false
	err := d.startTap()
	if err == nil {
		err = d.startPairs(s)
	}
	if err != nil {
		d.halt()
		return err
	}
	if q := s.Queue(d.controlIndex(s)); q != nil && s.Features.Has(FeatureControl) {
		c := &controller{d: d, s: s, q: q}
		d.control = s.Serve(q, c.work)
	}
	d.started = true
	d.notify.Store(s)
	if moved {
		d.Announce()
	}
	if d.untold.Swap(false) {
		s.ConfigChanged()
	}
	return nil
}

// startTap makes the tap give what the driver takes. One that was deleted while no
// driver ran is a cable that is out.
func (d *Device) startTap() error {
	if d.tap == nil || !d.cable.Load() {
		return nil
	}
	err := d.tap.SetOffload(tapOffloads(d.offloads))
	if err == nil {
		err = d.tap.SetActive(d.pairs)
	}
	if err != nil && d.tap.Gone() {
		d.cableGone(err)
		return nil
	}
	return err
}

// controlIndex is the control queue's number: behind the pairs that the driver
// knows of (section 5.1.2).
func (d *Device) controlIndex(s *virtio.Session) int { return 2 * d.known(s) }

func (d *Device) known(s *virtio.Session) int {
	if s.Features.Has(FeatureQueues) {
		return d.maxPairs
	}
	return 1
}

func (d *Device) startPairs(s *virtio.Session) error {
	if len(d.kernel) > 0 && d.cable.Load() {
		err := d.startKernel(s)
		if err == nil || d.config.VHost == VHostOn {
			return err
		}
		d.takeBack() // nobody has insisted on the kernel
		d.tell(fmt.Errorf("vhost: %w; this process moves the frames instead", err))
	}
	for i := range d.known(s) {
		rx, tx := s.Queue(2*i), s.Queue(2*i+1)
		switch {
		case rx == nil && tx == nil:
		case d.stream != nil:
			if err := d.startStream(s, rx, tx); err != nil {
				return err
			}
		default:
			p, err := startPair(d, s, d.tap.Queues()[i], rx, tx)
			if err != nil {
				return err
			}
			d.movers = append(d.movers, p)
		}
	}
	return nil
}

func (d *Device) startKernel(s *virtio.Session) error {
	for i := range d.known(s) {
		if err := d.handOver(s, i, s.Queue(2*i), s.Queue(2*i+1)); err != nil {
			return err
		}
	}
	d.watch = startWatch(d)
	return nil
}

func (d *Device) startStream(s *virtio.Session, rx, tx *virtio.Queue) error {
	if rx != nil {
		t, err := startStreamReceiver(d, s, rx)
		if err != nil {
			return err
		}
		d.movers = append(d.movers, t)
	}
	if tx != nil {
		t, err := startStreamSender(d, s, tx)
		if err != nil {
			return err
		}
		d.movers = append(d.movers, t)
	}
	return nil
}

// Stop is virtio.Device's.
func (d *Device) Stop() {
	d.notify.Store(nil)
	d.mu.Lock()
	control := d.control
	d.control, d.started = nil, false
	d.mu.Unlock()
	if control != nil {
		control.Stop() // its commands take the lock
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halt()
}

// halt ends all that move frames.
func (d *Device) halt() {
	for _, m := range d.movers {
		m.quit()
	}
	for _, m := range d.movers {
		m.join()
	}
	d.movers = nil
	if d.watch != nil {
		d.watch.stop()
		d.watch = nil
	}
	d.takeBack()
}

// setPairs is the driver's choice of queues.
func (d *Device) setPairs(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n < 1 || n > d.maxPairs {
		return false
	}
	if d.tap != nil && d.cable.Load() {
		if err := d.tap.SetActive(n); err != nil {
			d.tell(err)
			return false
		}
	}
	d.pairs = n
	return true
}

// setOffloads is the driver's choice of what may be left undone for it, of what it
// accepted.
func (d *Device) setOffloads(o, accepted virtio.Feature) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o&^(accepted&guestOffloads) != 0 || d.tap == nil {
		return false
	}
	if d.cable.Load() {
		if err := d.tap.SetOffload(tapOffloads(o)); err != nil {
			d.tell(err)
			return false
		}
	}
	d.offloads = o
	return true
}
