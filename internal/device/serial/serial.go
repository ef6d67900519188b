// Package serial is a 16550A UART, the console that every guest has a driver
// for: eight ports, FIFOs of 16 bytes, one interrupt line.
//
// Time is the one thing it doesn't model. A byte that the guest writes is on
// its way at once, so the transmitter is always empty, until the host reads so
// slowly that the output buffer of 64 KiB fills (see output.go).
//
// Reference: National Semiconductor PC16550D data sheet, section 8.
package serial

import (
	"io"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Config is what a UART is connected to.
type Config struct {
	// Out takes what the guest writes; nil discards it. For an *os.File the
	// device opens a descriptor of its own at New, so that it can write without
	// blocking; it doesn't close Out.
	Out io.Writer
	// Limit is the most bytes that Out gets; what comes after is lost. 0: no limit.
	Limit uint64
	// Report, if not nil, is called once with the reason when output is lost from then
	// on. It is called with the device locked: it must not block or call back.
	Report func(error)

	// Line is driven high while an enabled interrupt condition holds; it suits
	// an edge-triggered pin (as PCs have it) and a level-triggered one. It is
	// called with the device locked and must not call back.
	Line bus.Line

	// Scan, if not nil, sees what the guest writes. Its callback runs on the
	// vCPU's goroutine, with the device unlocked.
	Scan *Scanner
}

// Device is one UART. It implements bus.Handler for Size ports. All methods may
// be called by several goroutines.
type Device struct {
	line bus.Line
	out  *output

	mu   sync.Mutex
	scan *Scanner

	ier, fcr, lcr, mcr, scr byte
	dll, dlm                byte
	overrun                 bool
	delta                   byte // MSR bits 0-3: what changed since MSR was read
	thrPending              bool // the transmitter ran empty, and IIR hasn't reported it yet
	high                    bool // what Line was last driven to

	rx receiver
}

// New makes a UART in its reset state.
func New(c Config) *Device {
	d := &Device{line: c.Line, scan: c.Scan}
	if d.line == nil {
		d.line = bus.LineFunc(func(bool) {})
	}
	d.rx.room = make(chan struct{}, 1)
	d.out = newOutput(c.Out, d.drained)
	d.out.limit, d.out.report = c.Limit, c.Report
	d.reset()
	return d
}

// Reset puts the registers into their state after power-on, as a reset of the
// machine does. Buffered output is still written, and input that is still queued
// waits for the next guest.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reset()
}

func (d *Device) reset() {
	d.ier, d.fcr, d.lcr, d.scr = 0, 0, 0, 0
	d.mcr = mcrOUT2 // as firmware leaves it; nothing depends on it
	d.dll, d.dlm = 12, 0
	d.overrun, d.delta, d.thrPending = false, 0, false
	d.rx.reset()
	if d.scan != nil {
		d.scan.Reset()
	}
	d.update()
}

// Close writes out what is left and releases the device's descriptors and
// goroutine. What the guest writes afterwards is discarded. If the output's reader
// takes nothing for a few seconds, the error says how much was lost.
func (d *Device) Close() error { return d.close(d.out.closeLimit, true) }

// CloseWithin is Close that gives up after limit, whether or not the reader takes
// anything.
func (d *Device) CloseWithin(limit time.Duration) error { return d.close(limit, false) }

func (d *Device) close(limit time.Duration, patient bool) error {
	err := d.out.close(limit, patient)
	d.mu.Lock()
	d.rx.close()
	d.mu.Unlock()
	return err
}

// Err returns the error that ended the output, such as EPIPE when its reader
// went away, or that Close had; the guest runs on and its output is discarded. It is
// nil while all is well.
func (d *Device) Err() error { return d.out.failure() }

// Lost returns the number of bytes that were discarded: because the output's reader
// took nothing for longer than the guest may be made to wait, after an error of the
// output, or beyond Limit.
func (d *Device) Lost() uint64 { return d.out.lostBytes() }

// Undelivered is Lost and what is still on its way to Out; false if a write that
// does not return keeps that from being known.
func (d *Device) Undelivered() (n uint64, known bool) { return d.out.undelivered() }

// Read implements bus.Handler. A wide access is one byte access a port, as an
// 8-bit device on a wider bus sees it.
func (d *Device) Read(off uint64, p []byte) {
	for i := range p {
		if off+uint64(i) < Size {
			p[i] = d.readByte(off + uint64(i))
		} else {
			p[i] = 0xFF
		}
	}
}

// Write implements bus.Handler; see Read for wide accesses.
func (d *Device) Write(off uint64, p []byte) {
	for i, b := range p {
		switch reg := off + uint64(i); {
		case reg >= Size:
			return
		case reg == regData:
			d.writeData(b)
		default:
			d.writeRegister(reg, b)
		}
	}
}

func (d *Device) readByte(reg uint64) byte {
	if reg == regLSR && !d.out.ready() {
		// The guest polls for room in the transmitter. Waiting here leaves the
		// host's processor to the reader, which makes that room.
		d.out.waitRoom()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if reg != regLSR {
		d.rx.polls = 0
	}
	switch reg {
	case regData:
		if d.lcr&lcrDLAB != 0 {
			return d.dll
		}
		b := d.rx.pop()
		d.refill()
		d.update()
		return b
	case regIER:
		if d.lcr&lcrDLAB != 0 {
			return d.dlm
		}
		return d.ier
	case regIIR:
		return d.identify()
	case regLCR:
		return d.lcr
	case regMCR:
		return d.mcr
	case regLSR:
		return d.lineStatus()
	case regMSR:
		v := d.modemLines() | d.delta
		d.delta = 0
		d.update()
		return v
	default:
		return d.scr
	}
}

// writeRegister writes any register but the one at offset 0.
func (d *Device) writeRegister(reg uint64, b byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rx.polls = 0
	switch reg {
	case regIER:
		if d.lcr&lcrDLAB != 0 {
			d.dlm = b
			return
		}
		rising := b &^ d.ier
		d.ier = b & ierMask
		switch {
		case d.ier&ierTHRI == 0:
			d.thrPending = false
		case rising&ierTHRI != 0 && d.out.ready():
			// Enabling the interrupt on an empty transmitter raises it: Linux
			// starts each transmission so, and tests for it.
			d.thrPending = true
		}
		d.refill()
	case regIIR: // FCR
		if (b^d.fcr)&fcrEnable != 0 || b&(fcrEnable|fcrClearRx) == fcrEnable|fcrClearRx {
			d.rx.clear()
		}
		d.fcr = 0
		if b&fcrEnable != 0 {
			d.fcr = b & fcrKept
		}
		d.refill()
	case regLCR:
		d.lcr = b
	case regMCR:
		before := d.modemLines()
		d.mcr = b & mcrMask
		after := d.modemLines()
		changed := before ^ after
		d.delta |= changed >> 4 &^ msrTERI
		if changed&msrRI != 0 && after&msrRI == 0 {
			d.delta |= msrTERI
		}
		d.refill()
	case regSCR:
		d.scr = b
	}
	d.update()
}

// writeData writes the transmit holding register, or the divisor latch.
func (d *Device) writeData(b byte) {
	d.mu.Lock()
	d.rx.polls = 0
	if d.lcr&lcrDLAB != 0 {
		d.dll = b
		d.mu.Unlock()
		return
	}
	if d.mcr&mcrLoop != 0 {
		if !d.rx.push(uint16(b), d.depth()) {
			d.overrun = true
		}
		d.thrPending = true
		d.update()
		d.mu.Unlock()
		return
	}
	for !d.out.put(b) {
		// A guest that writes without reading LSR, or that has stopped waiting.
		// Unlocked, so that other processors and the input go on.
		d.mu.Unlock()
		d.out.waitRoom()
		d.mu.Lock()
	}
	// Until IIR has reported it, an empty transmitter is one interrupt however
	// many bytes went through it: a burst of 16 costs one.
	d.thrPending = d.out.ready()
	d.update()
	var hits uint64
	if d.scan != nil {
		hits = d.scan.step(b)
	}
	d.mu.Unlock()
	if hits != 0 {
		d.scan.report(hits)
	}
}

// drained is called by the output when there is room again after there was none.
func (d *Device) drained() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ier&ierTHRI != 0 && d.out.ready() {
		d.thrPending = true
	}
	d.update()
}

// modemLines returns MSR bits 4-7. In loopback they are the modem control
// outputs, which is how Linux finds out that a UART is there.
func (d *Device) modemLines() byte {
	if d.mcr&mcrLoop == 0 {
		return msrPlug
	}
	var v byte
	for _, w := range [...]struct{ out, in byte }{
		{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOUT1, msrRI}, {mcrOUT2, msrDCD},
	} {
		if d.mcr&w.out != 0 {
			v |= w.in
		}
	}
	return v
}
