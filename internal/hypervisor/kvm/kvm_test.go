package kvm

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kvm"
	"github.com/mayfly-vm/mayfly/memory"
)

const mib = 1 << 20

func TestSlotsCoverRAMOnce(t *testing.T) {
	for _, ranges := range [][]memory.Range{
		{{Addr: 0, Size: 16 * mib}},
		{{Addr: 0, Size: 256*mib + 4096}},
		{{Addr: 0, Size: 3072 * mib}, {Addr: 4096 * mib, Size: 13 * 1024 * mib}},
	} {
		m, err := memory.New(ranges, memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for _, eager := range []uint64{0, 1, 4096, 16 * mib, 128*mib - 1, 128 * mib, 128*mib + 1, 300 * mib, 3072 * mib} {
			eager = min(eager, ranges[0].Size)
			list := slots(m, eager)
			if first := list[0]; first.GuestAddr != 0 || first.Size < eager {
				t.Errorf("eager %#x: the first slot is %#x+%#x", eager, first.GuestAddr, first.Size)
			}
			i := 0
			for _, r := range m.Regions() {
				for at := uint64(r.Addr); at < uint64(r.Addr)+r.Size; i++ {
					s := list[i]
					if s.Slot != uint32(i) || s.GuestAddr != at || s.Size == 0 || s.Size%4096 != 0 || at+s.Size > uint64(r.Addr)+r.Size {
						t.Fatalf("eager %#x: slot %d is %+v, at %#x of region %#x+%#x", eager, i, s, at, r.Addr, r.Size)
					}
					if host := uint64(uintptr(r.Pointer())) + at - uint64(r.Addr); s.HostAddr != host {
						t.Errorf("eager %#x: slot %d is backed by %#x, want %#x", eager, i, s.HostAddr, host)
					}
					if s.HostAddr%memory.HugePageSize != s.GuestAddr%memory.HugePageSize {
						t.Errorf("slot %d can have no huge pages", i)
					}
					at += s.Size
				}
			}
			if i != len(list) {
				t.Errorf("eager %#x: %d slots, %d wanted", eager, len(list), i)
			}
		}
	}
}

// spinner is a processor with a loop for ever, in real mode at 0x1000, or with
// the code given.
func spinner(t *testing.T, code ...byte) *processor {
	t.Helper()
	_, p := spinning(t, code...)
	return p
}

func spinning(t *testing.T, code ...byte) (hypervisor.Machine, *processor) {
	t.Helper()
	if unix.Access(kvm.DefaultPath, unix.R_OK|unix.W_OK) != nil {
		t.Skip("/dev/kvm cannot be opened here")
	}
	h, err := Open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	m, err := memory.New([]memory.Range{{Addr: 0, Size: 2 * mib}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if len(code) == 0 {
		code = []byte{0xEB, 0xFE} // jmp .
	}
	if _, err := m.WriteAt(code, 0x1000); err != nil {
		t.Fatal(err)
	}
	mc, err := h.NewMachine(m, hypervisor.Options{Processors: 1, Eager: m.Size(), IOAPICPins: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mc.Close() })
	p, err := mc.NewProcessor(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	s.CS.Selector, s.CS.Base, s.RIP = 0, 0, 0x1000
	if err := p.SetState(&s); err != nil {
		t.Fatal(err)
	}
	return mc, p.(*processor)
}

// Every Kick is answered, whatever else signals the thread and however Kicks fall
// upon each other; and none leaves the processor unable to enter its guest.
func TestKicksAreAnswered(t *testing.T) {
	// Writes to port 0x80 for ever: exits show that the guest runs.
	p := spinner(t, 0xE6, 0x80, 0xEB, 0xFC)
	exits, kicks := make(chan struct{}, 1), make(chan struct{}, 1)
	stop := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		runtime.LockOSThread()
		var e hypervisor.Exit
		for {
			if err := p.Run(&e); err != nil {
				t.Error(err)
				return
			}
			tell := exits
			if e.Kind == hypervisor.ExitKicked {
				tell = kicks
			}
			select {
			case tell <- struct{}{}:
			default:
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	await := func(c <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s", what)
		}
	}
	// Signals of others, as the Go runtime sends them.
	quiet := make(chan struct{})
	running.Go(func() {
		for {
			select {
			case <-quiet:
				return
			default:
			}
			if tid := p.tid.Load(); tid != 0 {
				_ = unix.Tgkill(unix.Getpid(), int(tid), unix.SIGURG)
			}
			runtime.Gosched()
		}
	})
	for range 300 {
		var both sync.WaitGroup
		for range 2 {
			both.Go(p.Kick)
		}
		both.Wait()
		await(kicks, "answer to a kick")
	}
	close(quiet)
	for range 3 {
		await(exits, "exit: the processor does not enter its guest any more")
	}
	close(stop)
	p.Kick()
	running.Wait()
}

// kickAfter kicks p after a time; done takes that back, or waits until it is over.
func kickAfter(p *processor, after time.Duration) (done func()) {
	over := make(chan struct{})
	t := time.AfterFunc(after, func() { defer close(over); p.Kick() })
	return func() {
		if !t.Stop() {
			<-over
		}
	}
}

// A Kick requests the exit after it has marked itself; Run may have returned for
// the mark in between, and the request then comes alone.
func TestALateRequestStopsNothing(t *testing.T) {
	p := spinner(t, 0xE6, 0x80, 0xEB, 0xFC)
	p.vcpu.RequestExit(true)
	// Should the test fail, this ends the Run that never enters its guest.
	defer kickAfter(p, 5*time.Second)()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var e hypervisor.Exit
	if err := p.Run(&e); err != nil || e.Kind != hypervisor.ExitPortOut {
		t.Errorf("exit %v, %v; want the guest's own", e.Kind, err)
	}
}

func TestAKickBeforeRunCounts(t *testing.T) {
	p := spinner(t)
	p.Kick()
	p.Kick()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var e hypervisor.Exit
	if err := p.Run(&e); err != nil || e.Kind != hypervisor.ExitKicked {
		t.Errorf("exit %v, %v", e.Kind, err)
	}
	defer kickAfter(p, 10*time.Millisecond)()
	if err := p.Run(&e); err != nil || e.Kind != hypervisor.ExitKicked {
		t.Errorf("exit %v, %v", e.Kind, err)
	}
}

func TestStateGoesRound(t *testing.T) {
	p := spinner(t)
	want, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	want.RAX, want.R15, want.RSP, want.RFLAGS = 0x1122334455667788, 15, 0x8000, 2
	want.GDT = hypervisor.Table{Base: 0x500, Limit: 31}
	if err := p.SetState(&want); err != nil {
		t.Fatal(err)
	}
	got, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if err := p.SetMSRs([]hypervisor.MSR{{Index: 0xDEAD0000, Value: 1}}); err == nil {
		t.Error("a register that is none was set")
	}
}

func TestActivity(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		want hypervisor.Activity
	}{{"cli; hlt", []byte{0xFA, 0xF4}, hypervisor.Stalled}, {"sti; hlt", []byte{0xFB, 0xF4, 0xEB, 0xFD}, hypervisor.Idle}, {"jmp .", []byte{0xEB, 0xFE}, hypervisor.Running}} {
		p := spinner(t, c.code...)
		runtime.LockOSThread()
		done := kickAfter(p, 50*time.Millisecond)
		var e hypervisor.Exit
		err := p.Run(&e)
		done()
		runtime.UnlockOSThread()
		if err != nil || e.Kind != hypervisor.ExitKicked {
			t.Fatalf("%s: %v, %v", c.name, e.Kind, err)
		}
		if got, err := p.Activity(); err != nil || got != c.want {
			t.Errorf("%s: activity %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}
