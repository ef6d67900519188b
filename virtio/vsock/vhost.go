package vsock

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/internal/vhost"
)

// ringFeatures are what every Instance offers, so the kernel must know them.
const ringFeatures = virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIndex

func (d *Device) openKernel() (err error) {
	if d.kernel, err = vhost.Open(vhost.VsockPath); err != nil {
		return err
	}
	if d.known, err = d.kernel.Features(); err == nil {
		if missing := ringFeatures &^ d.known; missing != 0 {
			err = fmt.Errorf("%s: the kernel lacks features %#x; leave out vhost", vhost.VsockPath, uint64(missing))
		} else {
			err = d.kernel.VsockSetGuestCID(d.cfg.CID)
		}
	}
	if err != nil {
		d.kernel.Close()
	}
	return err
}

// startKernel hands queues 0 and 1 over; that of the events stays ours.
func (d *Device) startKernel(s *virtio.Session) error {
	rx, tx := s.Queue(rxQueue), s.Queue(txQueue)
	if rx == nil || tx == nil {
		return nil // a driver without queues has no work
	}
	if err := d.kernel.Setup(s, s.Features&d.known); err != nil {
		return err
	}
	err := d.kernel.SetQueue(rxQueue, rx, s.Memory)
	if err == nil {
		err = d.kernel.SetQueue(txQueue, tx, s.Memory)
	}
	if err == nil {
		err = d.kernel.VsockSetRunning(true)
	}
	if err != nil {
		d.kernel.EndSession()
	}
	d.runs = err == nil
	return err
}

func (d *Device) stopKernel() {
	if !d.runs {
		return
	}
	d.runs = false
	s := d.session
	err := d.kernel.VsockSetRunning(false)
	for _, i := range [...]int{rxQueue, txQueue} {
		if e := d.kernel.StopQueue(i, s.Queue(i), s.Memory); err == nil {
			err = e
		}
	}
	if err != nil {
		s.Fail(err)
	}
	d.kernel.EndSession()
}
