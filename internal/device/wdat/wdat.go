// Package wdat is a watchdog: a guest that has started it must restart its countdown
// before it ends, or Config.OnExpire is called.
//
// The guest finds it by the ACPI table WDAT (acpi.Watchdog), which gives the register
// of each action, so that Linux needs no driver but wdat_wdt.
// Registers are four ports of 32 bits:
//
//	+0   control: bit 0, the countdown runs
//	+4   periods of the countdown, 1 to MaxCount
//	+8   periods left; any write restarts the countdown
//	+12  status: bit 0, the watchdog has expired, before the machine's last start or
//	     since; writing 1 clears it
//
// Reference: Microsoft, "Hardware Watchdog Timers Design Specification", 2006;
// Linux drivers/watchdog/wdat_wdt.c.
package wdat

import (
	"encoding/binary"
	"sync"
	"time"
)

// Size is the number of ports.
const Size = 16

// The countdown, as acpi.Watchdog describes it to the guest.
const (
	Period   = 100 * time.Millisecond
	MinCount = 1
	MaxCount = 36000 // an hour
)

const (
	regControl = 0
	regCount   = 4
	regLeft    = 8
	regStatus  = 12

	defaultCount = 600
)

// Config of a Device.
type Config struct {
	// OnExpire is called in a goroutine of its own when the countdown has ended. It
	// runs again only once the guest starts it. nil: nothing happens.
	OnExpire func()
	// Expired is the first value of the status: the watchdog caused this start.
	Expired bool
	// Clock is for tests; the zero value is the host's.
	Clock Clock
}

// Clock measures time.
type Clock struct {
	Now       func() time.Time
	AfterFunc func(time.Duration, func()) (stop func())
}

// Device implements bus.Handler for Size ports. All methods may be called by
// several goroutines.
type Device struct {
	cfg Config

	mu       sync.Mutex
	running  bool
	count    uint32
	fired    bool
	paused   bool
	closed   bool
	deadline time.Time     // while it runs
	left     time.Duration // while it is paused
	round    int           // of the timer that counts
	stop     func()
}

// New makes a watchdog whose countdown doesn't run.
func New(c Config) *Device {
	if c.Clock.Now == nil {
		c.Clock = Clock{time.Now, func(d time.Duration, f func()) func() {
			t := time.AfterFunc(d, f)
			return func() { t.Stop() }
		}}
	}
	return &Device{cfg: c, count: defaultCount, fired: c.Expired}
}

// begin starts the countdown with the time that is left.
func (d *Device) begin(left time.Duration) {
	d.end()
	if d.paused {
		d.left = left
		return
	}
	d.deadline = d.cfg.Clock.Now().Add(left)
	d.round++
	round := d.round
	d.stop = d.cfg.Clock.AfterFunc(left, func() { d.expire(round) })
}

func (d *Device) end() {
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
}

func (d *Device) whole() time.Duration { return time.Duration(d.count) * Period }

func (d *Device) expire(round int) {
	d.mu.Lock()
	if round != d.round || !d.running || d.paused || d.closed {
		d.mu.Unlock()
		return
	}
	d.running, d.fired, d.stop = false, true, nil
	d.mu.Unlock()
	if d.cfg.OnExpire != nil {
		d.cfg.OnExpire()
	}
}

// Pause stops the countdown while the machine is paused; Resume continues it.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		return
	}
	d.left = d.remaining()
	d.paused = true
	d.end()
}

// Resume ends a Pause.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.paused {
		return
	}
	d.paused = false
	if d.running {
		d.begin(d.left)
	}
}

// Close stops the countdown for good. OnExpire is not called any more.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.end()
}

// Fired reports whether it has expired since the guest cleared the status.
func (d *Device) Fired() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fired
}

func (d *Device) remaining() time.Duration {
	switch {
	case !d.running:
		return 0
	case d.paused:
		return d.left
	}
	return max(0, d.deadline.Sub(d.cfg.Clock.Now()))
}

// Read implements bus.Handler. Registers are read whole; other accesses read as ones.
func (d *Device) Read(off uint64, p []byte) {
	for i := range p {
		p[i] = 0xFF
	}
	if len(p) != 4 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var v uint32
	switch off {
	case regControl:
		v = bit(d.running)
	case regCount:
		v = d.count
	case regLeft:
		v = uint32((d.remaining() + Period - 1) / Period)
	case regStatus:
		v = bit(d.fired)
	default:
		return
	}
	binary.LittleEndian.PutUint32(p, v)
}

// Write implements bus.Handler.
func (d *Device) Write(off uint64, p []byte) {
	if len(p) != 4 {
		return
	}
	v := binary.LittleEndian.Uint32(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	switch off {
	case regControl:
		if run := v&1 != 0; run && !d.running {
			d.running = true
			d.begin(d.whole())
		} else if !run {
			d.running = false
			d.end()
		}
	case regCount:
		d.count = min(max(v, MinCount), MaxCount)
		fallthrough // the time that it had may be over already
	case regLeft:
		if d.running {
			d.begin(d.whole())
		}
	case regStatus:
		if v&1 != 0 {
			d.fired = false
		}
	}
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
