package kvmcpu

import (
	"testing"

	"github.com/mayfly-vm/mayfly/bus"
	"github.com/mayfly-vm/mayfly/cpu"
	"github.com/mayfly-vm/mayfly/eventfd"
)

// A doorbell's write signals its eventfd and leaves no exit; unbound, it exits.
func TestDoorbell(t *testing.T) {
	// out 0x90, al; out 0x80, al; and again.
	mc, p := spinning(t, 0xE6, 0x90, 0xE6, 0x80, 0xEB, 0xFA)
	bell, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	defer bell.Close()
	d := bus.Doorbell{Addr: 0x90, Port: true, Size: 1, FD: bell.FD()}
	if err := mc.Bind(d); err != nil {
		t.Fatal(err)
	}
	var e cpu.Exit
	for range 3 {
		if err := p.Run(&e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != cpu.ExitPortOut || e.Addr != 0x80 {
			t.Fatalf("%v of port %#x, want only those of 0x80", e.Kind, e.Addr)
		}
		if !bell.Clear() {
			t.Fatal("the write rang nothing")
		}
	}
	if err := mc.Unbind(d); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(&e); err != nil {
		t.Fatal(err)
	}
	if e.Kind != cpu.ExitPortOut || e.Addr != 0x90 {
		t.Fatalf("%v of port %#x, want the one that is a doorbell no more", e.Kind, e.Addr)
	}
}

// What is signalled under a mask waits for its end.
func TestMessageMask(t *testing.T) {
	mc, _ := spinning(t)
	m, err := mc.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	other, err := mc.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	m.Signal()
	if !m.Pending() || other.Pending() {
		t.Fatalf("pending %v and %v, want the one that was signalled", m.Pending(), other.Pending())
	}
	if err := m.Route(bus.MSI{Addr: 0xFEE0_0000, Data: 0x41}); err != nil {
		t.Fatal(err)
	}
	if m.Mask() != nil || m.Pending() {
		t.Fatal("the signal was not delivered when the mask went")
	}
	m.Signal()
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := mc.NewMessage(); err != nil || again.Pending() {
		t.Fatalf("a new message in the old one's place: %v", err)
	}
}
