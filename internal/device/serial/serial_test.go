package serial

import (
	"bytes"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// pin records what a Line was driven to.
type pin struct {
	high  bool
	edges int // upward ones
}

func (p *pin) Set(high bool) {
	if high && !p.high {
		p.edges++
	}
	p.high = high
}

func (d *Device) in(reg uint64) byte {
	var p [1]byte
	d.Read(reg, p[:])
	return p[0]
}

func (d *Device) outb(reg uint64, v byte) { d.Write(reg, []byte{v}) }

func newTest(t *testing.T) (*Device, *pin) {
	t.Helper()
	p := new(pin)
	d := New(Config{Line: p})
	t.Cleanup(func() { _ = d.Close() })
	return d, p
}

func want(t *testing.T, what string, got, want byte) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %#02x, want %#02x", what, got, want)
	}
}

func TestStateAfterReset(t *testing.T) {
	d, p := newTest(t)
	check := func() {
		t.Helper()
		want(t, "IER", d.in(regIER), 0)
		want(t, "IIR", d.in(regIIR), iirNone)
		want(t, "LCR", d.in(regLCR), 0)
		want(t, "LSR", d.in(regLSR), lsrTHRE|lsrTEMT)
		want(t, "MSR", d.in(regMSR), msrPlug)
		want(t, "RBR", d.in(regData), 0)
		if p.high {
			t.Error("the line is high")
		}
	}
	check()
	for reg := range uint64(8) {
		d.outb(reg, 0x5F)
	}
	d.Receive([]byte("x"))
	d.Reset()
	check()
}

// TestLinuxAutoconfig follows drivers/tty/serial/8250/8250_port.c, autoconfig.
func TestLinuxAutoconfig(t *testing.T) {
	d, _ := newTest(t)
	d.outb(regIER, 0)
	want(t, "IER after 0", d.in(regIER), 0)
	d.outb(regIER, 0x0F)
	want(t, "IER after 0x0f", d.in(regIER), 0x0F)
	d.outb(regIER, 0)

	d.outb(regMCR, mcrLoop|0x0A)
	want(t, "MSR in loopback", d.in(regMSR)&0xF0, 0x90)
	d.outb(regMCR, 0x08)

	d.outb(regLCR, 0xBF)
	d.outb(regIIR, 0)
	d.outb(regLCR, 0)
	d.outb(regIIR, fcrEnable)
	want(t, "IIR with FIFOs", d.in(regIIR)&0xC0, 0xC0) // 16550A
	d.outb(regLCR, lcrDLAB)
	if d.in(regIIR) == 0 {
		t.Error("IIR with DLAB reads 0: taken for a 16650's EFR")
	}
	d.outb(regLCR, 0)
	d.outb(regIIR, fcrEnable|0x20)
	want(t, "IIR after asking for 64 bytes", d.in(regIIR)&0xE0, 0xC0) // no 16750
	d.outb(regIER, 0x40)
	want(t, "IER with UUE", d.in(regIER), 0) // no XScale
}

// TestLinuxStartup follows serial8250_do_startup's tests for UARTs whose THRE
// interrupt is broken.
func TestLinuxStartup(t *testing.T) {
	d, _ := newTest(t)
	d.outb(regIER, ierTHRI)
	want(t, "IIR, enabled the first time", d.in(regIIR), iirTHRE)
	d.outb(regIER, 0)
	d.outb(regIER, ierTHRI)
	want(t, "IIR, enabled again", d.in(regIIR), iirTHRE)
	want(t, "IIR, once reported", d.in(regIIR), iirNone)
	d.outb(regIER, 0)
	want(t, "IIR, disabled", d.in(regIIR), iirNone)
}

func TestDivisorLatch(t *testing.T) {
	d, _ := newTest(t)
	d.outb(regLCR, lcrDLAB|3)
	d.Write(0, []byte{0x34, 0x12}) // a word write reaches two registers
	var p [2]byte
	d.Read(0, p[:])
	if p != [2]byte{0x34, 0x12} {
		t.Errorf("divisor % x, want 34 12", p)
	}
	d.outb(regLCR, 3)
	want(t, "IER", d.in(regIER), 0)
	d.outb(regSCR, 0xA5)
	want(t, "SCR", d.in(regSCR), 0xA5)
}

func TestTransmitInterrupt(t *testing.T) {
	d, p := newTest(t)
	d.outb(regIER, ierTHRI)
	if !p.high || p.edges != 1 {
		t.Fatalf("enabling THRI: high %v, edges %d", p.high, p.edges)
	}
	want(t, "IIR", d.in(regIIR), iirTHRE)
	if p.high {
		t.Fatal("reading IIR left the line high")
	}
	for range 16 {
		d.outb(regData, 'x')
	}
	if p.edges != 2 {
		t.Fatalf("a burst of 16 bytes raised %d interrupts, want 1", p.edges-1)
	}
	d.outb(regIER, ierTHRI) // no rise, no interrupt
	if p.edges != 2 {
		t.Fatal("writing IER again raised an interrupt")
	}
	d.outb(regIER, 0)
	if p.high {
		t.Fatal("line high with interrupts disabled")
	}
}

func TestReceive(t *testing.T) {
	d, p := newTest(t)
	d.outb(regIIR, fcrEnable|0x80) // trigger 8
	d.outb(regIER, ierRDI)
	if n := d.Receive([]byte("ab")); n != 2 {
		t.Fatalf("Receive took %d bytes", n)
	}
	if p.edges != 1 {
		t.Fatalf("%d interrupts", p.edges)
	}
	want(t, "IIR below the trigger", d.in(regIIR), iirFIFO|iirTimeout)
	d.Receive([]byte("cdefgh"))
	want(t, "IIR at the trigger", d.in(regIIR), iirFIFO|iirRDA)
	var got []byte
	for d.in(regLSR)&lsrDR != 0 {
		got = append(got, d.in(regData))
	}
	if string(got) != "abcdefgh" || p.high || p.edges != 1 {
		t.Fatalf("got %q, line %v, %d interrupts", got, p.high, p.edges)
	}
}

func TestReceiveWithoutFIFO(t *testing.T) {
	d, _ := newTest(t)
	d.outb(regIER, ierRDI)
	d.Receive([]byte("abc"))
	want(t, "IIR", d.in(regIIR), iirRDA)
	for _, c := range []byte("abc") {
		want(t, "RBR", d.in(regData), c)
	}
	want(t, "RBR, empty", d.in(regData), 0)
}

// TestInputWaitsForListener: a port's set-up in Linux reads and clears the
// receiver several times; input sent before must survive that.
func TestInputWaitsForListener(t *testing.T) {
	d, p := newTest(t)
	d.Receive([]byte("poweroff\n"))
	for range 2 {
		d.outb(regIIR, fcrEnable)
		d.outb(regIIR, fcrEnable|fcrClearRx|4)
		d.outb(regIIR, 0)
		for _, reg := range []uint64{regLSR, regData, regIIR, regMSR, regLSR, regLSR, regData} {
			d.in(reg)
		}
	}
	if p.edges != 0 {
		t.Fatal("interrupt before anything was enabled")
	}
	d.outb(regIIR, fcrEnable)
	d.outb(regIER, ierRDI)
	var got []byte
	for d.in(regLSR)&lsrDR != 0 {
		got = append(got, d.in(regData))
	}
	if string(got) != "poweroff\n" {
		t.Fatalf("the guest read %q", got)
	}
}

func TestInputForPollingGuest(t *testing.T) {
	d, _ := newTest(t)
	d.Receive([]byte("hi"))
	var got []byte
	for range 2 {
		for i := 0; d.in(regLSR)&lsrDR == 0; i++ {
			if i > pollsToListen {
				t.Fatal("a polling guest never sees its input")
			}
		}
		got = append(got, d.in(regData))
	}
	if string(got) != "hi" {
		t.Fatalf("read %q", got)
	}
}

func TestReceiveIsBounded(t *testing.T) {
	d, _ := newTest(t)
	big := bytes.Repeat([]byte("0123456789"), queueSize)
	n := d.Receive(big)
	if n != queueSize {
		t.Fatalf("Receive took %d bytes, want %d", n, queueSize)
	}
	select {
	case <-d.Space():
		t.Fatal("room signalled in a full queue")
	default:
	}
	d.outb(regIIR, fcrEnable)
	d.outb(regIER, ierRDI)
	for i := 0; ; i++ {
		if i == queueSize {
			t.Fatal("no room signalled by an empty queue")
		}
		want(t, "RBR", d.in(regData), big[i])
		select {
		case <-d.Space():
			if d.Receive(big) == 0 {
				t.Fatal("room signalled, but none there")
			}
			return
		default:
		}
	}
}

func TestLoopback(t *testing.T) {
	var out bytes.Buffer
	p := new(pin)
	d := New(Config{Out: &out, Line: p})
	d.outb(regIIR, fcrEnable)
	d.outb(regMCR, mcrLoop)
	d.outb(regIER, ierRDI|ierRLSI)
	d.Receive([]byte("host"))
	for i := range byte(20) {
		d.outb(regData, 'a'+i)
	}
	want(t, "IIR after overrun", d.in(regIIR), iirFIFO|iirRLS)
	want(t, "LSR after overrun", d.in(regLSR), lsrDR|lsrOE|lsrTHRE|lsrTEMT)
	want(t, "LSR, read again", d.in(regLSR), lsrDR|lsrTHRE|lsrTEMT)
	for i := range byte(16) {
		want(t, "RBR", d.in(regData), 'a'+i)
	}
	want(t, "LSR, empty", d.in(regLSR), lsrTHRE|lsrTEMT)
	d.outb(regMCR, 0)
	want(t, "RBR, out of loopback", d.in(regData), 'h')
	if err := d.Close(); err != nil || out.Len() != 0 {
		t.Fatalf("Close %v; output %q", err, out.String())
	}
}

func TestModemStatus(t *testing.T) {
	d, p := newTest(t)
	d.outb(regIER, ierMSI)
	d.outb(regMCR, mcrLoop|mcrOUT1)
	if !p.high {
		t.Fatal("no modem status interrupt")
	}
	want(t, "IIR", d.in(regIIR), iirMSI)
	want(t, "MSR", d.in(regMSR), msrRI|0x0B) // CTS, DSR, DCD changed
	want(t, "IIR after MSR", d.in(regIIR), iirNone)
	d.outb(regMCR, mcrLoop)
	want(t, "MSR, ring went off", d.in(regMSR), msrTERI)
}

func TestBreak(t *testing.T) {
	d, _ := newTest(t)
	d.outb(regIIR, fcrEnable)
	d.outb(regIER, ierRDI|ierRLSI)
	d.Receive([]byte("a"))
	if !d.Break() {
		t.Fatal("Break refused")
	}
	d.Receive([]byte("h"))
	want(t, "LSR, break after a byte", d.in(regLSR), lsrDR|lsrFIFO|lsrTHRE|lsrTEMT)
	want(t, "RBR", d.in(regData), 'a')
	want(t, "IIR", d.in(regIIR), iirFIFO|iirRLS)
	want(t, "LSR, break first", d.in(regLSR), lsrDR|lsrBI|lsrFIFO|lsrTHRE|lsrTEMT)
	want(t, "LSR, seen", d.in(regLSR), lsrDR|lsrTHRE|lsrTEMT)
	want(t, "RBR", d.in(regData), 0)
	want(t, "RBR", d.in(regData), 'h')
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0x81, 0x0F, 0x80, 'x', 0x84, 0x1F, 0x00, 0x20, 0xFF, 0x70, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		scan, err := NewScanner(func(int) {}, "ab", "aab")
		if err != nil {
			t.Fatal(err)
		}
		p := new(pin)
		d := New(Config{Out: new(bytes.Buffer), Line: p, Scan: scan})
		var buf [8]byte
		for len(ops) >= 2 {
			op, v := ops[0], ops[1]
			ops = ops[2:]
			width := 1 + int(op>>4&7)
			switch {
			case op&0x88 == 0x88 && v < 4:
				d.Reset()
			case op&0x88 == 0x88 && v < 8:
				d.Break()
			case op&0x88 == 0x88:
				d.Receive(bytes.Repeat([]byte{v}, int(v)))
			case op&0x80 != 0:
				for i := range buf {
					buf[i] = v
				}
				d.Write(uint64(op&15), buf[:width])
			default:
				d.Read(uint64(op&15), buf[:width])
			}
			if p.high != (d.pending() != iirNone) {
				t.Fatalf("line %v with condition %#x", p.high, d.pending())
			}
			if d.rx.n > fifoSize || d.rx.qn > queueSize {
				t.Fatalf("%d bytes in the FIFO, %d in the queue", d.rx.n, d.rx.qn)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	scan, err := NewScanner(func(int) {}, "Kernel panic - not syncing", "Run /init as init process")
	if err != nil {
		t.Fatal(err)
	}
	_, w := pipe(t, true)
	d := New(Config{Out: w, Scan: scan, Line: bus.LineFunc(func(bool) {})})
	defer d.Close()
	var p [1]byte
	line := []byte("[    0.1] Kernel Run /init as init process\n")
	run := func() {
		for _, p[0] = range line {
			d.Read(regLSR, p[:])
		}
		for i := range line {
			d.Write(regData, line[i:i+1])
		}
		d.Read(regIIR, p[:])
		p[0] = ierTHRI | ierRDI
		d.Write(regIER, p[:])
		d.Receive(line)
		for range line {
			d.Read(regData, p[:])
		}
		p[0] = 0
		d.Write(regIER, p[:])
	}
	run()
	if n := testing.AllocsPerRun(200, run); n != 0 {
		t.Fatalf("%v allocations a line", n)
	}
}
