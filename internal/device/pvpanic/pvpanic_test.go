package pvpanic_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/pvpanic"
)

func TestEvents(t *testing.T) {
	for _, tt := range []struct {
		off  uint64
		p    []byte
		want string
	}{
		{0, []byte{1}, "panicked"},
		{0, []byte{2, 1}, "crash kernel loaded"},
		{0, []byte{4}, "shutdown"},
		{0, []byte{0xFF}, "panicked, crash kernel loaded, shutdown"},
		{0, []byte{0x80}, ""},
		{0, []byte{0}, ""},
		{1, []byte{1}, ""},
	} {
		got := ""
		pvpanic.New(pvpanic.Config{OnEvent: func(e pvpanic.Event) { got += e.String() }}).Write(tt.off, tt.p)
		if got != tt.want {
			t.Errorf("writing % x at %d: %q, want %q", tt.p, tt.off, got, tt.want)
		}
		pvpanic.New(pvpanic.Config{}).Write(tt.off, tt.p) // without a Config
	}
	if s := (pvpanic.Panicked | 0x10).String(); s != "panicked, 0x10" {
		t.Error(s)
	}
}

func TestReads(t *testing.T) {
	p := []byte{0, 0}
	pvpanic.New(pvpanic.Config{}).Read(0, p)
	if p[0] != 7 || p[1] != 0xFF {
		t.Errorf("% x", p)
	}
}

func FuzzDevice(f *testing.F) {
	f.Add(uint64(0), []byte{1})
	f.Fuzz(func(t *testing.T, off uint64, p []byte) {
		if len(p) == 0 || len(p) > bus.MaxAccess {
			return
		}
		n := 0
		d := pvpanic.New(pvpanic.Config{OnEvent: func(e pvpanic.Event) {
			if n++; e == 0 || e > 7 {
				t.Fatalf("event %#x", uint8(e))
			}
		}})
		d.Write(off, p)
		d.Read(off, p)
		if n > 1 {
			t.Fatalf("%d events of one write", n)
		}
	})
}

func TestHasNoState(t *testing.T) {
	d := pvpanic.New(pvpanic.Config{})
	if err := d.SetState(d.State()); err != nil {
		t.Error(err)
	}
	if d.State() != nil || d.SetState(&struct{ Version int }{1}) == nil {
		t.Error("gives or takes a state")
	}
}
