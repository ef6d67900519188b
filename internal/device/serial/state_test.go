package serial

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/statetest"
)

// stateRig records what a UART drives and finds.
type stateRig struct {
	*Device
	log string
}

func newStateRig(t testing.TB) statetest.Rig {
	d := &stateRig{}
	scan, err := NewScanner(func(i int) { d.log += fmt.Sprint(" found ", i) }, "aab", "aaab", "ab", "b")
	if err != nil {
		t.Fatal(err)
	}
	d.Device = New(Config{Line: bus.LineFunc(func(high bool) { d.log += fmt.Sprint(" line ", high) }), Scan: scan})
	return d
}

// Step does little at random registers, so that input gathers, and is read in part.
func (d *stateRig) Step(r *rand.Rand) string {
	d.log = ""
	var p [2]byte
	switch r.IntN(12) {
	case 0:
		p[0] = byte(r.Uint32())
		d.Write(uint64(1+r.IntN(7)), p[:1])
	case 1: // what makes input flow
		d.outb(regLCR, 3)
		d.outb(regMCR, 8)
		d.outb(regIER, byte(r.IntN(16)))
		d.outb(regIIR, [...]byte{0, 1, 0x81, 0xC1, 3}[r.IntN(5)])
	case 2, 3: // texts that the scanner searches for
		for range r.IntN(5) {
			d.outb(regData, "aaab"[r.IntN(4)])
		}
	case 4, 5:
		in := make([]byte, r.IntN(20))
		for i := range in {
			in[i] = byte(r.Uint32())
		}
		d.log += fmt.Sprint(" took ", d.Receive(in))
	case 6:
		d.log += fmt.Sprint(" break ", d.Break())
	case 7:
		for range r.IntN(pollsToListen + 2) {
			d.Read(regLSR, p[:1])
		}
	case 8:
		d.outb(regLCR, lcrDLAB|3)
		d.Write(0, []byte{byte(r.Uint32()), byte(r.Uint32())}[:1+r.IntN(2)])
	default:
		d.Read(uint64(r.IntN(Size)), p[:1+r.IntN(2)])
	}
	return fmt.Sprintf("%x%s", p, d.log)
}

func TestState(t *testing.T) {
	statetest.Differential(t, 200, newStateRig)
	statetest.RefusesOthers(t, newStateRig)
}

// A UART is saved with half a divisor written, bytes in its FIFO, input that the
// guest has not asked for, a break and an interrupt that is not served.
func TestStateInMidWork(t *testing.T) {
	a, b := newStateRig(t).(*stateRig), newStateRig(t).(*stateRig)
	a.outb(regIIR, fcrEnable|0xC0)
	a.outb(regIER, ierRDI)
	a.Receive([]byte("0123456789abcdef"))
	a.Break()
	a.Receive([]byte("rest"))
	want(t, "first byte", a.in(regData), '0')
	a.outb(regLCR, lcrDLAB)
	a.outb(regData, 0x34)
	b.outb(regIER, ierTHRI) // raises its line
	if err := b.SetState(statetest.RoundTrip(t, a.State())); err != nil {
		t.Fatal(err)
	}
	want(t, "DLL", b.in(regData), 0x34)
	b.outb(regIER, 0x12)
	b.outb(regLCR, 0)
	if b.log != " line true line true" || a.log != " line true" {
		t.Errorf("lines: saved%s, restored%s", a.log, b.log)
	}
	want(t, "IIR", b.in(regIIR), iirFIFO|iirRDA)
	for _, c := range []byte("123456789abcdef\x00rest") {
		if c == 0 {
			want(t, "LSR at the break", b.in(regLSR)&(lsrBI|lsrFIFO), lsrBI|lsrFIFO)
		}
		want(t, "input", b.in(regData), c)
	}
	if b.rx.n != 0 || b.rx.qn != 0 {
		t.Errorf("%d bytes in the FIFO and %d queued are left", b.rx.n, b.rx.qn)
	}
}

// A guest that waits for room in the transmitter is notified of it after a restore.
func TestStateOfFullTransmitter(t *testing.T) {
	r, w := io.Pipe() // takes nothing
	defer r.Close()
	a, b := New(Config{Out: w}), newStateRig(t).(*stateRig)
	defer a.CloseWithin(0)
	a.outb(regIER, ierTHRI)
	for a.out.ready() {
		a.Write(regData, []byte{'x'})
	}
	a.in(regIIR)
	if a.pending() != iirNone {
		t.Fatal("a full transmitter interrupts")
	}
	if err := b.SetState(a.State()); err != nil {
		t.Fatal(err)
	}
	want(t, "LSR", b.in(regLSR), lsrTHRE|lsrTEMT)
	want(t, "IIR", b.in(regIIR), iirTHRE)
	if b.log != " line true line false" {
		t.Errorf("the line did%s", b.log)
	}
}

// Input that was refused before a restore has room after it.
func TestStateMakesRoom(t *testing.T) {
	d := newStateRig(t).(*stateRig)
	s := d.State()
	if n := d.Receive(make([]byte, queueSize+1)); n != queueSize {
		t.Fatalf("took %d bytes", n)
	}
	if err := d.SetState(s); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.Space():
	default:
		t.Error("room is not reported")
	}
	if d.Receive([]byte{1}) != 1 {
		t.Error("there is no room")
	}
}

func TestRefusesStates(t *testing.T) {
	for name, change := range map[string]func(*State){
		"IER": func(s *State) { s.IER = 0x10 }, "FCR bits": func(s *State) { s.FCR = 3 }, "FCR off": func(s *State) { s.FCR = 0xC0 },
		"MCR": func(s *State) { s.MCR = 0x20 }, "Delta": func(s *State) { s.Delta = 0x10 },
		"FIFO off": func(s *State) { s.FIFO = make([]uint16, 2) },
		"FIFO":     func(s *State) { s.FCR, s.FIFO = 1, make([]uint16, fifoSize+1) },
		"queue":    func(s *State) { s.Queue = make([]uint16, queueSize+1) },
		"element":  func(s *State) { s.Queue = []uint16{0x101} },
		"polls":    func(s *State) { s.Polls = pollsToListen }, "listens": func(s *State) { s.Listening, s.Polls = true, 1 },
		"scanned": func(s *State) { s.Scanned = bytes.Repeat([]byte{'a'}, maxPattern+1) },
	} {
		d := newStateRig(t)
		s := d.State().(*State)
		change(s)
		if d.SetState(s) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzState(f *testing.F) {
	// Other patterns may have been searched for: what they began is not kept.
	statetest.Fuzz(f, newStateRig, func(s any) { s.(*State).Scanned = nil })
}
