package vnet

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/virtio"
)

// SetLink connects the cable or pulls it out: the guest sees the link go, and no
// frames come or leave.
func (d *Device) SetLink(up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pulled.Store(!up)
	d.linkChanged()
	if d.started && len(d.kernel) > 0 {
		d.kernelLink(up)
	}
}

// linkUp tells whether frames go through.
func (d *Device) linkUp() bool { return d.cable.Load() && !d.pulled.Load() }

// Link tells whether the guest sees a link.
func (d *Device) Link() bool { return d.space.status()&statusLinkUp != 0 }

// linkChanged tells the driver if anything changed. Two who call it at once show
// what the later of them found.
func (d *Device) linkChanged() {
	d.linkMu.Lock()
	changed := d.space.setStatus(statusLinkUp, d.linkUp())
	d.linkMu.Unlock()
	if !changed {
		return
	}
	d.stats.linkChanges.Add(1)
	d.changed()
}

// changed tells the driver of a change of the configuration space; one that is
// stopped hears of it when it goes on.
func (d *Device) changed() {
	d.untold.Store(true)
	if s := d.notify.Load(); s != nil && d.untold.Swap(false) {
		s.ConfigChanged()
	}
}

// cableUp says that the far end is there, or not. Safe for several goroutines.
func (d *Device) cableUp(up bool) bool {
	if d.cable.Swap(up) == up {
		return false
	}
	d.linkChanged()
	return true
}

// cableGone tells people that a tap is no more.
func (d *Device) cableGone(err error) {
	if d.cableUp(false) {
		d.tell(fmt.Errorf("the tap %s was deleted (%w); the guest's link is down until the machine is started again", d.tap.Name(), err))
	}
}

func (d *Device) tell(err error) {
	if d.config.Report != nil {
		d.config.Report(virtio.Named(d.config.DeviceName(), err))
	}
}

// Announce asks the driver to tell the network where its address is now: after a
// machine has moved.
func (d *Device) Announce() {
	if d.space.setStatus(statusAnnounce, true) {
		d.changed()
	}
}
