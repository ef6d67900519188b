// Package i8042 is the one function of a PC's keyboard controller that guests still
// use: the pulse on the processors' reset line (IBM PC AT Technical Reference,
// "Keyboard Controller", commands 0xF0-0xFF), which Linux does for reboot=k. To a
// probe the controller appears absent.
package i8042

import "sync/atomic"

// Port is the command and status port; there is no data port, 0x60.
const Port = 0x64

// Size is the number of ports.
const Size = 1

const (
	cmdPulseReset = 0xFE
	statusAbsent  = 0xFF // what an idle bus reads as
	statusReady   = 0x00 // nothing to read, commands are taken
)

// absentReads is how many reads of the status in a row return that of an absent
// controller; later ones return that of a ready one. Before it sends the command, Linux
// waits up to 65,536 reads for the absent controller to be ready; a probe, which must
// find nothing, reads fewer.
const absentReads = 64

// Device implements bus.Handler for one port.
type Device struct {
	reset func()
	polls atomic.Uint32
}

// New makes a controller that calls reset, which may be nil, on the goroutine of
// the vCPU that writes the command.
func New(reset func()) *Device { return &Device{reset: reset} }

// Read implements bus.Handler: the status.
func (d *Device) Read(_ uint64, p []byte) {
	status := byte(statusAbsent)
	if d.polls.Load() > absentReads || d.polls.Add(1) > absentReads { // it stops counting, and so never overflows
		status = statusReady
	}
	for i := range p {
		p[i] = status
	}
}

// Write implements bus.Handler: a command.
func (d *Device) Write(off uint64, p []byte) {
	d.polls.Store(0)
	if off == 0 && len(p) > 0 && p[0] == cmdPulseReset && d.reset != nil {
		d.reset()
	}
}
