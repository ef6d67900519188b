package vnet

import "time"

// SetSpin sets how long queues are looked at before they sleep, before a Start.
func (d *Device) SetSpin(t time.Duration) {
	if d.spin = t; t == 0 {
		d.spin = -1
	}
}

// CableUp is cableUp: what the far end's coming and going does.
func (d *Device) CableUp(up bool) bool { return d.cableUp(up) }
