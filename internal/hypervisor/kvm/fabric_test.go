package kvm

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/kvm"
)

// A write that an ioeventfd takes signals its eventfd and causes no exit; after Unbind
// it exits.
func TestIOEvent(t *testing.T) {
	// out 0x90, al; out 0x80, al; and again.
	mc, p := spinning(t, 0xE6, 0x90, 0xE6, 0x80, 0xEB, 0xFA)
	kick, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	defer kick.Close()
	d := bus.IOEvent{Addr: 0x90, Port: true, Size: 1, FD: kick.FD()}
	if err := mc.Bind(d); err != nil {
		t.Fatal(err)
	}
	var e hypervisor.Exit
	for range 3 {
		if err := p.Run(&e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != hypervisor.ExitPortOut || e.Addr != 0x80 {
			t.Fatalf("%v of port %#x, want only those of 0x80", e.Kind, e.Addr)
		}
		if !kick.Clear() {
			t.Fatal("the write did not signal the eventfd")
		}
	}
	if err := mc.Unbind(d); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(&e); err != nil {
		t.Fatal(err)
	}
	if e.Kind != hypervisor.ExitPortOut || e.Addr != 0x90 {
		t.Fatalf("%v of port %#x, want the one whose ioeventfd was removed", e.Kind, e.Addr)
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

// Whoever comes after a message's end finds nobody: its descriptor's number is
// another file's by then.
func TestMessageAfterClose(t *testing.T) {
	mc, _ := spinning(t)
	m, err := mc.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	number := m.FD()
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := os.Create(t.TempDir() + "/disk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if int(f.Fd()) != number { // the file may have the number anyway
		if err := unix.Dup3(int(f.Fd()), number, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(number)
	}
	m.Signal()
	if s, err := f.Stat(); err != nil || s.Size() != 0 {
		t.Errorf("%d bytes were written to another file, %v", s.Size(), err)
	}
	if m.Pending() || m.Mask() != nil || m.Route(bus.MSI{Addr: 0xFEE0_0000, Data: 0x41}) == nil {
		t.Error("a closed message still does something")
	}
}

// A route that KVM refuses masks: else signals would go on to the old place, or be
// lost there when the table is installed for another message.
func TestMessageRefused(t *testing.T) {
	mc, _ := spinning(t)
	const use32BitIDs = 1 // KVM then reads the address's upper half
	if err := mc.(*machine).vm.EnableCap(kvm.CapX2APICAPI, use32BitIDs); err != nil {
		t.Skip(err)
	}
	m, err := mc.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	good := bus.MSI{Addr: 0xFEE0_0000, Data: 0x41}
	if err := m.Route(good); err != nil {
		t.Fatal(err)
	}
	if m.Route(bus.MSI{Addr: 0x1_FEE0_0000, Data: 0x41}) == nil {
		t.Skip("this KVM takes every address")
	}
	if m.Signal(); !m.Pending() {
		t.Error("a signal was delivered by a route that is no more")
	}
	if err := m.Route(good); err != nil || m.Pending() {
		t.Errorf("the signal is not delivered by the next good route: %v", err)
	}
}
