package power_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/power"
)

// log notes what a Device does.
type log struct{ strings.Builder }

func (l *log) config() power.Config {
	return power.Config{
		Line: bus.LineFunc(func(high bool) {
			if high {
				l.WriteString("up ")
			} else {
				l.WriteString("down ")
			}
		}),
		PowerOff: func() { l.WriteString("off ") },
		Reset:    func() { l.WriteString("reset ") },
		Mark:     func(c byte) { l.WriteString("mark" + string(rune(c)) + " ") },
	}
}

func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name string
		off  uint64
		p    []byte
		want string
	}{
		{"sleep as S5", 0, []byte{5<<2 | 0x20}, "off "},
		{"sleep type without enable", 0, []byte{5 << 2}, ""},
		{"sleep status", 1, []byte{0x80}, ""},
		{"reset", 2, []byte{1}, "reset "},
		{"reset by another value", 2, []byte{0}, ""},
		{"event", 3, []byte{1}, ""},
		{"mark", 4, []byte{'A'}, "markA "},
		{"nothing there", 5, []byte{0xFF}, ""},
		{"a word is two ports", 1, []byte{0, 1}, "reset "},
		{"all", 0, []byte{0x20, 0, 1, 0, 'z', 0, 0, 0}, "off reset markz "},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l log
			power.New(l.config()).Write(c.off, c.p)
			if l.String() != c.want {
				t.Fatalf("did %q, want %q", l.String(), c.want)
			}
			power.New(power.Config{}).Write(c.off, c.p) // without a Config
		})
	}
}

func TestButton(t *testing.T) {
	var l log
	d := power.New(l.config())
	events := func() byte {
		var p [1]byte
		d.Read(3, p[:])
		return p[0]
	}
	if events() != 0 || l.String() != "" {
		t.Fatalf("an event before the first press; %q", l.String())
	}
	d.PressButton()
	d.PressButton()
	if e := events(); e != 1 {
		t.Fatalf("events %#x, want 1", e)
	}
	if e := events(); e != 0 {
		t.Fatalf("events %#x when read again", e)
	}
	d.Renewed()
	if e := events(); e != 2 {
		t.Fatalf("events %#x after a new generation, want 2", e)
	}
	d.PressButton()
	d.Renewed()
	d.Reset()
	if e := events(); e != 0 {
		t.Fatalf("events %#x after a reset", e)
	}
	if l.String() != "up down up down "+"up down "+"up down up down " {
		t.Fatalf("line went %q", l.String())
	}
}

func TestReads(t *testing.T) {
	p := make([]byte, 8)
	power.New(power.Config{}).Read(0, p)
	if !bytes.Equal(p, []byte{0, 0, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0xFF}) {
		t.Fatalf("% x", p)
	}
}

func TestAllocatesNothing(t *testing.T) {
	d := power.New(power.Config{Mark: func(byte) {}})
	p := []byte{1}
	if n := testing.AllocsPerRun(100, func() {
		d.Write(4, p)
		d.PressButton()
		d.Read(3, p)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzDevice(f *testing.F) {
	f.Add(uint64(0), []byte{0x34, 0, 1, 1, 7})
	f.Fuzz(func(t *testing.T, off uint64, p []byte) {
		var offs, resets, marks int
		var levels []bool
		d := power.New(power.Config{
			Line:     bus.LineFunc(func(high bool) { levels = append(levels, high) }),
			PowerOff: func() { offs++ }, Reset: func() { resets++ }, Mark: func(byte) { marks++ },
		})
		p = p[:min(len(p), bus.MaxAccess)]
		d.PressButton()
		d.Write(off, p)
		if offs > 1 || resets > 1 || marks > 1 {
			t.Fatalf("one write: %d off, %d reset, %d marks", offs, resets, marks)
		}
		d.Read(off, p)
		d.Read(3, p[:min(len(p), 1)])
		if len(p) > 0 && !slices.Equal(levels, []bool{true, false}) {
			t.Fatalf("line went %v", levels)
		}
	})
}
