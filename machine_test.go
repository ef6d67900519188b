package mayfly_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/kvm"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/timeline"
)

func TestEachEndHasItsOutcome(t *testing.T) {
	for _, c := range []struct {
		end    check.End
		reason mayfly.Reason
		detail string
	}{
		{check.PowerOff, mayfly.PowerOff, ""},
		{check.Reboot, mayfly.Rebooted, ""},
		{check.Halt, mayfly.Halted, "interrupts off"},
		{check.TripleFault, mayfly.TripleFault, "rip 0x"},
		{check.XGETBV, mayfly.InternalError, "kvm_pvm"},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			if c.end == check.XGETBV && !kvm.EmulatesKernelMode() {
				t.Skip("this host's KVM runs every instruction")
			}
			leavesNothing(t)
			vm := start(t, guest(t, check.Options{NoChecks: true, End: c.end}))
			if o := vm.want(c.reason); !strings.Contains(o.Detail, c.detail) || o.Restarts != 0 || o.Lost != 0 {
				t.Errorf("outcome %+v, want a detail with %q, no restarts and nothing lost", o, c.detail)
			}
			for what, err := range map[string]error{"Start": vm.Start(context.Background()), "Pause": vm.Pause(t.Context()), "Resume": vm.Resume(),
				"PowerButton": vm.PowerButton(), "Break": vm.Break(), "Kill": vm.Kill()} {
				if !errors.Is(err, mayfly.ErrNotRunning) && !errors.Is(err, mayfly.ErrStarted) {
					t.Errorf("%s after the end: %v", what, err)
				}
			}
		})
	}
}

// Linux's messages on the console, which the guest echoes here, name an end that came by itself.
func TestConsoleMessagesNameTheEnd(t *testing.T) {
	for _, c := range []struct {
		words  string
		end    check.End
		reason mayfly.Reason
	}{
		{"Kernel panic - not syncing: VFS\x04", check.Reboot, mayfly.Panicked},
		{"Kernel panic - not syncing: an old log\x04", check.PowerOff, mayfly.PowerOff},
		{"reboot: System halted\x04", check.PowerOff, mayfly.PowerOff},
		{"reboot: Restarting system\x04", check.TripleFault, mayfly.Rebooted},
	} {
		t.Run(c.words, func(t *testing.T) {
			leavesNothing(t)
			vm := start(t, guest(t, check.Options{NoChecks: true, Echo: true, End: c.end}))
			vm.press(c.words)
			vm.want(c.reason)
		})
	}
}

func TestRebootsInPlaceLoadEverythingAgain(t *testing.T) {
	for _, load := range []mayfly.Load{mayfly.LoadAuto, mayfly.LoadMap, mayfly.LoadCopy} {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			leavesNothing(t)
			module := []byte(strings.Repeat("the guest overwrites its memory before it reboots\n", 2000))
			c := guest(t, check.Options{CPUs: 2, Modules: []uint32{check.Sum(module)}, Scribble: true, End: check.Ask})
			c.Initrd = []string{file(t, "module", module)}
			c.OnReboot, c.CPUs, c.Load = mayfly.RebootRestart, 2, load
			vm := start(t, c)
			for i, key := range []string{"r", "r", "p"} {
				vm.await("# end?", i+1)
				vm.press(key)
			}
			if o := vm.want(mayfly.PowerOff); o.Restarts != 2 {
				t.Errorf("%d restarts, want 2", o.Restarts)
			}
			vm.reports(3)
		})
	}
}

func TestKillAndCloseAreNotLostInARestart(t *testing.T) {
	for _, how := range []string{"kill", "close", "context"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			machinetest.NeedKVM(t)
			c := guest(t, check.Options{NoChecks: true, End: check.Reboot})
			out := new(machinetest.Output)
			c.OnReboot, c.Console.Out = mayfly.RebootRestart, out // restarts without end
			vm, err := mayfly.New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := vm.Start(ctx); err != nil {
				t.Fatal(err)
			}
			// Calls during the restarts come at many a moment of them.
			pause := func() error { return vm.Pause(t.Context()) }
			for strings.Count(out.String(), "1..0") < 5 {
				for _, do := range []func() error{pause, vm.PowerButton, vm.Resume} {
					if err := do(); err != nil {
						t.Fatal(err)
					}
				}
			}
			switch how {
			case "kill":
				err = vm.Kill()
			case "close":
				err = vm.Close()
			case "context":
				cancel()
			}
			if err != nil {
				t.Fatal(err)
			}
			o, err := vm.Wait(context.Background())
			if err != nil || o.Reason != mayfly.Killed {
				t.Errorf("ended as %v (%v), want killed", o, err)
			}
		})
	}
}

func TestPowerButton(t *testing.T) {
	leavesNothing(t)
	vm := start(t, guest(t, check.Options{NoChecks: true, End: check.Button}))
	vm.await("1..0", 1)
	if err := vm.PowerButton(); err != nil {
		t.Fatal(err)
	}
	vm.want(mayfly.PowerOff)
}

func TestNothingMovesWhilePaused(t *testing.T) {
	leavesNothing(t)
	c := guest(t, check.Options{NoChecks: true, Spew: 1 << 24})
	c.CPUs = 2
	vm := start(t, c)
	if err := vm.Resume(); err == nil {
		t.Error("a Resume without a Pause says nothing")
	}
	for round := range 5 {
		vm.await("\n", 100*(round+1))
		for range 2 { // each Pause wants its Resume
			if err := vm.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		before := exits(vm)
		anotherLife(t)
		if err := vm.Resume(); err != nil {
			t.Fatal(err)
		}
		anotherLife(t)
		if after := exits(vm); after != before {
			t.Errorf("round %d: %d exits while paused", round, after-before)
		}
		seen := strings.Count(vm.output.String(), "\n")
		if err := vm.Resume(); err != nil {
			t.Fatal(err)
		}
		vm.await("\n", seen+10)
	}
	if err := vm.Kill(); err != nil {
		t.Fatal(err)
	}
	vm.want(mayfly.Killed)
}

// anotherLife is that of another machine, from its start to its end: time in which one
// that is not paused has exits.
func anotherLife(t *testing.T) {
	t.Helper()
	vm := start(t, guest(t, check.Options{NoChecks: true}))
	vm.want(mayfly.PowerOff)
	vm.Close()
}

// exits is how often the machine's vCPUs have left the guest, kicks excepted.
func exits(vm *running) (n uint64) {
	s := vm.Stats()
	for _, k := range s.Exits {
		n += k
	}
	return n - s.Exits["kick"]
}

func TestAPausedMachineCanBeKilledAndClosed(t *testing.T) {
	for _, how := range []string{"kill", "close"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			vm := start(t, guest(t, check.Options{NoChecks: true, End: check.UDLoop}))
			if err := vm.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			do := map[string]func() error{"kill": vm.Kill, "close": vm.Close}[how]
			if err := do(); err != nil {
				t.Fatal(err)
			}
			vm.want(mayfly.Killed)
		})
	}
}

func TestEndsFromOutside(t *testing.T) {
	for _, how := range []string{"kill", "close", "context", "deadline"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			machinetest.NeedKVM(t)
			out := new(machinetest.Output)
			c := guest(t, check.Options{NoChecks: true, End: check.UDLoop}) // never comes to an end by itself
			c.CPUs, c.Console.Out = 2, out
			vm, err := mayfly.New(c)
			if err != nil {
				t.Fatal(err)
			}
			defer vm.Close()
			ctx, cancel := context.WithCancel(context.Background())
			if how == "deadline" {
				ctx, cancel = context.WithTimeout(context.Background(), 200*time.Millisecond)
			}
			defer cancel()
			if err := vm.Start(ctx); err != nil {
				t.Fatal(err)
			}
			await(t, out, "1..0", 1)
			switch how {
			case "kill":
				err = vm.Kill()
			case "close":
				err = vm.Close()
			case "context":
				cancel()
			}
			if err != nil {
				t.Fatal(err)
			}
			o, err := vm.Wait(context.Background())
			if err != nil || o.Reason != mayfly.Killed {
				t.Errorf("ended as %v (%v), want killed", o, err)
			}
		})
	}
}

func TestCloseDuringOtherCalls(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	c := guest(t, check.Options{NoChecks: true, End: check.UDLoop})
	for range 20 {
		vm, err := mayfly.New(c)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, do := range []func(){
			func() { _ = vm.Start(context.Background()) },
			func() { _, _ = vm.Wait(context.Background()) },
			func() { _ = vm.Pause(t.Context()) },
			func() { _ = vm.PowerButton() },
			func() { vm.Close() },
			func() { vm.Close() },
		} {
			wg.Go(do)
		}
		wg.Wait()
		if err := vm.Start(context.Background()); !errors.Is(err, mayfly.ErrClosed) {
			t.Fatalf("Start after Close: %v", err)
		}
	}
}

func TestWaitEndsWithACloseBeforeAnyStart(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	vm, err := mayfly.New(guest(t, check.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { _, err := vm.Wait(context.Background()); ended <- err }()
	vm.Close()
	if err := <-ended; !errors.Is(err, mayfly.ErrClosed) {
		t.Errorf("Wait: %v, want ErrClosed", err)
	}
}

func TestWaitLeavesWithItsContext(t *testing.T) {
	vm := start(t, guest(t, check.Options{NoChecks: true, End: check.UDLoop}))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := vm.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
}

func TestManyMachinesInOneProcess(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	c := guest(t, check.Options{NoChecks: true, Spew: 4096})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			out := new(machinetest.Output)
			c := c
			c.Console.Out = out
			vm, err := mayfly.New(c)
			if err != nil {
				t.Error(err)
				return
			}
			defer vm.Close()
			if err := vm.Start(context.Background()); err != nil {
				t.Error(err)
				return
			}
			o, err := vm.Wait(context.Background())
			if err != nil || o.Reason != mayfly.PowerOff || !strings.Contains(out.String(), string(check.Spew(4096))) {
				t.Errorf("machine %d: %+v, %v, and %d bytes of output", i, o, err, len(out.String()))
			}
		})
	}
	wg.Wait()
}

func TestProcessorsAndMemory(t *testing.T) {
	for _, c := range []struct {
		cpus   int
		memory uint64
	}{{1, 16 << 20}, {2, 256 << 20}, {16, 1<<30 + 4096}, {1, 5 << 30}, {2, 3<<30 + 1<<21}} {
		t.Run(fmt.Sprintf("%d CPUs, %d MiB", c.cpus, c.memory>>20), func(t *testing.T) {
			leavesNothing(t)
			cfg := guest(t, check.Options{CPUs: c.cpus, Memory: c.memory, Modules: []uint32{}})
			cfg.CPUs, cfg.Memory = c.cpus, c.memory
			vm := start(t, cfg)
			vm.want(mayfly.PowerOff)
			vm.reports(1)
			list := vm.Plan().MemMap
			if last := list[len(list)-1]; (c.memory > 3<<30) != (last.Addr == 1<<32) {
				t.Errorf("the memory map ends with %+v", last)
			}
		})
	}
}

func TestX2APIC(t *testing.T) {
	leavesNothing(t)
	c := guest(t, check.Options{CPUs: 2, X2APIC: true})
	c.CPUs = 2
	vm := start(t, c)
	vm.want(mayfly.PowerOff)
	vm.reports(1)
}

func TestTimelineHasMarksAndExits(t *testing.T) {
	c := guest(t, check.Options{NoChecks: true, Mark: 'A', End: check.Ask})
	c.Timeline, c.OnReboot = timeline.New(time.Now()), mayfly.RebootRestart
	vm := start(t, c)
	// What the first start's FIFO holds goes with it; the rest waits for the second.
	vm.press("r" + strings.Repeat("-", 40) + "p")
	vm.want(mayfly.PowerOff)
	s := c.Timeline.Snapshot()
	var last time.Duration
	for _, name := range []string{"files and KVM open", "machine made", "processors made", timeline.GuestEntered, "guest mark 'A'", timeline.FirstOutput, "restart", "end: powered off"} {
		at, ok := s.At(name)
		if !ok || at < last {
			t.Errorf("mark %q at %v (%v), after %v", name, at, ok, last)
		}
		last = at
	}
	if len(s.VCPUs) != 1 || s.VCPUs[0].Total() < 40 {
		t.Errorf("exits %+v", s.VCPUs)
	}
	for _, m := range s.Marks {
		if m.Name == timeline.FirstOutput && m.By != timeline.Guest {
			t.Errorf("%+v is the guest's", m)
		}
	}
}
