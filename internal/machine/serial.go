package machine

import (
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/timeline"
)

// serialPort is the machine's serial port. The device outlives a restart: what the
// guest has not read yet waits for the next start, what it wrote still goes out. The
// interrupt line and the record of the guest's messages are connected anew at each
// start. It is the device's bus.Line.
type serialPort struct {
	device   *serial.Device
	timeline *timeline.Recorder
	signs    atomic.Pointer[signs] // what the guest's messages are noted in

	mu   sync.Mutex
	line bus.Line // nil between two starts: the machine's interrupt fabric is gone
}

func newSerialPort(s *Spec) (*serialPort, error) {
	p := &serialPort{timeline: s.Timeline}
	scan, err := serial.NewScanner(p.matched, guestMessages...)
	if err != nil {
		return nil, err
	}
	p.device = serial.New(serial.Config{Out: s.Console.Out, Limit: s.Console.Limit, Report: s.Reports.For("serial"), Line: p, Scan: scan})
	return p, nil
}

// connect resets the port for a start, and returns what answers its ports.
func (p *serialPort) connect(to *signs, l bus.Line) bus.Handler {
	p.device.Reset()
	p.signs.Store(to)
	p.mu.Lock()
	p.line = l
	p.mu.Unlock()
	if p.timeline == nil {
		return p.device
	}
	return &firstOutput{Handler: p.device, timeline: p.timeline}
}

// disconnect returns when nothing drives the line any more.
func (p *serialPort) disconnect() {
	p.mu.Lock()
	p.line = nil
	p.mu.Unlock()
}

// Set drives the line.
func (p *serialPort) Set(high bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.Set(high)
	}
}

// guestMessages are messages of Linux. A process in the guest can write them too: see signs.
var guestMessages = []string{"Run /init as init process", "Kernel panic - not syncing", "reboot: System halted", "reboot: Restarting system", "System halted instead"}

// matched is called with the index of one of guestMessages that the guest wrote.
func (p *serialPort) matched(message int) {
	switch s := p.signs.Load(); message {
	case 0:
		p.timeline.Guest(timeline.Init)
	case 1:
		s.sayPanic()
	case 2, 4:
		s.sayHalt()
	case 3:
		s.sayRestart()
	}
}

// firstOutput forwards to the serial port, where a timeline is kept, and marks the
// first byte that the guest transmits.
type firstOutput struct {
	bus.Handler
	timeline *timeline.Recorder
	seen     atomic.Bool
}

// Write implements bus.Handler.
func (f *firstOutput) Write(off uint64, p []byte) {
	if off == 0 && !f.seen.Load() && f.transmits() && !f.seen.Swap(true) {
		f.timeline.Guest(timeline.FirstOutput)
	}
	f.Handler.Write(off, p)
}

// transmits tells whether a write to offset 0 goes out: not with the divisor
// latch there (LCR bit 7), and not in loopback (MCR bit 4).
func (f *firstOutput) transmits() bool {
	var lcr, mcr [1]byte
	f.Handler.Read(3, lcr[:])
	f.Handler.Read(4, mcr[:])
	return lcr[0]&(1<<7) == 0 && mcr[0]&(1<<4) == 0
}
