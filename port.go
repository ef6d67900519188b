package mayfly

import (
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/timeline"
)

// port is the machine's serial port. The device outlives boards: what the guest
// has not read yet waits for the next start, what it wrote still goes out. The
// interrupt line and the meaning of the guest's words are a board's; they are
// plugged in. It is the device's bus.Line.
type port struct {
	serial *serial.Device
	board  atomic.Pointer[board]

	mu   sync.Mutex
	line bus.Line // nil between boards: its machine is gone
}

func (vm *VM) newPort() (*port, error) {
	p := &port{}
	scan, err := serial.NewScanner(p.heard, guestWords...)
	if err != nil {
		return nil, err
	}
	p.serial = serial.New(serial.Config{Out: vm.cfg.Console.Out, Limit: vm.cfg.Console.Limit, Report: vm.cfg.reporter("serial"), Line: p, Scan: scan})
	return p, nil
}

// plug connects the port to a new board, and returns what answers its ports.
func (p *port) plug(b *board, l bus.Line) bus.Handler {
	p.serial.Reset()
	p.board.Store(b)
	p.mu.Lock()
	p.line = l
	p.mu.Unlock()
	if b.vm.cfg.Timeline == nil {
		return p.serial
	}
	return &firstOutput{Handler: p.serial, timeline: b.vm.cfg.Timeline}
}

// unplug returns when nothing drives the board's line any more.
func (p *port) unplug() {
	p.mu.Lock()
	p.line = nil
	p.mu.Unlock()
}

// Set drives the board's line.
func (p *port) Set(high bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.Set(high)
	}
}

// guestWords are messages of Linux. A process in the guest can write them too: see signs.
var guestWords = []string{"Run /init as init process", "Kernel panic - not syncing", "reboot: System halted", "reboot: Restarting system", "System halted instead"}

// heard is called with the index of one of guestWords that the guest wrote.
func (p *port) heard(word int) {
	b := p.board.Load()
	switch word {
	case 0:
		b.vm.cfg.Timeline.Guest(timeline.Init)
	case 1:
		b.signs.sayPanic()
	case 2, 4:
		b.signs.sayHalt()
	case 3:
		b.signs.sayRestart()
	}
}

// firstOutput stands before the serial port, where a timeline is kept, and marks
// the first byte that the guest transmits.
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
