package virtiotest

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CheckPause pauses the device, saves it, and lets it go on. It fails the test if guest
// memory changes meanwhile, but for what meanwhile does: it is called once during the
// pause, and may submit requests, kick, and act as the outside world. nil: nothing.
func (d *Driver) CheckPause(meanwhile func()) {
	d.t.Helper()
	d.Pause()
	d.checkQuiet()
	if meanwhile != nil {
		meanwhile()
		d.checkQuiet()
	}
	if _, err := d.in.Save(); err != nil {
		d.t.Errorf("save: %v", err)
	}
	d.Resume()
}

// checkQuiet reads guest memory several times, after a kick of each queue.
func (d *Driver) checkQuiet() {
	d.t.Helper()
	p, err := d.mem.Slice(0, d.opts.Memory)
	if err != nil {
		d.t.Fatal(err)
	}
	before := crc32.Checksum(p, castagnoli)
	for i := range d.queues {
		d.link.Notify(i)
	}
	for range 3 {
		if crc32.Checksum(p, castagnoli) != before {
			d.t.Error("guest memory changed during a pause")
			return
		}
	}
}
