package kvm

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// A page that is shown is read without an exit, with what this process writes to
// it, and left as it is by the guest's writes.
func TestShow(t *testing.T) {
	mc, p := spinning(t,
		0xA0, 0x10, 0x00, // mov al, [0x10]
		0xE6, 0x80, // out 0x80, al
		0xA2, 0x14, 0x00, // mov [0x14], al
		0xEB, 0xF6, // and again
	)
	const addr = 0x40_0000
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mc.Close(); unix.Munmap(page) })
	if !mc.Show(addr, page) {
		t.Skip("this host's KVM has no read-only memory (KVM_CAP_READONLY_MEM)")
	}
	if !mc.Partial() {
		t.Error("nothing is left to be attached")
	}
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	s.DS.Base = addr
	if err := p.SetState(&s); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer kickAfter(p, 20*time.Second)()
	var e hypervisor.Exit
	next := func(kind hypervisor.ExitKind, at uint64) []byte {
		t.Helper()
		if err := p.Run(&e); err != nil || e.Kind != kind || e.Addr != at || len(e.Data) != 1 {
			t.Fatalf("%v at %#x (%v), want %v at %#x", e.Kind, e.Addr, err, kind, at)
		}
		return e.Data
	}
	next(hypervisor.ExitMMIORead, addr+0x10)[0] = 7
	if got := next(hypervisor.ExitPortOut, 0x80)[0]; got != 7 {
		t.Errorf("before the page was attached: read %d", got)
	}
	next(hypervisor.ExitMMIOWrite, addr+0x14)
	if err := mc.AttachRest(); err != nil {
		t.Fatal(err)
	}
	for i := byte(1); i < 4; i++ {
		page[0x10] = i
		if got := next(hypervisor.ExitPortOut, 0x80)[0]; got != i {
			t.Errorf("read %d, want %d", got, i)
		}
		if got := next(hypervisor.ExitMMIOWrite, addr+0x14)[0]; got != i {
			t.Errorf("wrote %d, want %d", got, i)
		}
	}
	if page[0x14] != 0 {
		t.Error("the guest has changed the page")
	}
}
