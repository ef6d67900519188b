package mayfly_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// prompt is far above the tenth of a second that an end from outside may take, for
// busy hosts, and far below what the guests of these tests ask for.
const prompt = time.Second

// inTime fails the test if do takes longer than prompt, and logs how long it took.
func inTime(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	begin := time.Now()
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(machinetest.Patience):
		t.Fatalf("%s does not return", what)
	}
	took := time.Since(begin)
	t.Logf("%s took %v", what, took)
	if took > prompt {
		t.Errorf("%s took %v", what, took)
	}
}

// memoryDisk is a file of a file system that has no way to zero a range but to write
// zeroes: 128 MiB, the most that a request may name.
func memoryDisk(t *testing.T) string {
	f, err := os.CreateTemp("/dev/shm", "mayfly-zeroes-")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	defer f.Close()
	if err := f.Truncate(128 << 20); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestEndsAmongZeroes: a guest that has its disk write 32 GiB of zeroes, and may
// wait for that in a reset, does not hold up who ends or pauses the machine.
func TestEndsAmongZeroes(t *testing.T) {
	for _, end := range []string{"spin", "reset the device", "reset the machine"} {
		for _, how := range []string{"Kill", "Close", "context", "Pause"} {
			t.Run(filepath.Join(end, how), func(t *testing.T) {
				leavesNothing(t)
				c := mayfly.Config{Kernel: file(t, "zeroer.elf", machinetest.Zeroer(128<<11, end)), Load: mayfly.LoadCopy,
					Devices: []mayfly.DeviceConfig{blk.Config{Path: memoryDisk(t)}}}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				vm := startIn(t, ctx, c)
				vm.await("R", 1)
				switch how {
				case "Pause":
					inTime(t, "Pause", func() { pauseShortly(t, vm) })
				case "Kill":
					inTime(t, "Kill and Wait", func() { vm.Kill(); vm.want(mayfly.Killed) })
				case "context":
					inTime(t, "the context's end", func() { cancel(); vm.want(mayfly.Killed) })
				}
				inTime(t, "Close", func() { vm.Close() })
				vm.want(mayfly.Killed)
				<-vm.Released()
			})
		}
	}
}

// stubborn is a device whose Stop waits, as for a disk that answers no more.
type stubborn struct {
	virtiotest.Echo
	once, let sync.Once
	stopping  chan struct{} // closed when a Stop has begun
	free      chan struct{} // closed: a Stop ends
}

// newStubborn makes one that the test's end releases at the latest.
func newStubborn(t *testing.T) *stubborn {
	d := &stubborn{stopping: make(chan struct{}), free: make(chan struct{})}
	t.Cleanup(d.release)
	return d
}

func (s *stubborn) release() { s.let.Do(func() { close(s.free) }) }

func (s *stubborn) Stop() {
	s.once.Do(func() { close(s.stopping) })
	<-s.free
	s.Echo.Stop()
}

// pauseShortly tries to pause a machine for a time far below prompt. It fails unless
// the machine is paused or the time is over.
func pauseShortly(t *testing.T, vm *running) (paused bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err := vm.Pause(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Pause: %v", err)
	}
	if want := map[bool]mayfly.State{true: mayfly.StatePaused, false: mayfly.StateRunning}[err == nil]; vm.State() != want {
		t.Errorf("state %q, want %q", vm.State(), want)
	}
	return err == nil
}

// TestEndsDuringAStop: a transfer that the host can't end, which a reset by its driver
// or by the machine waits for, holds up nobody either. Memory stays until it has ended.
func TestEndsDuringAStop(t *testing.T) {
	for _, end := range []string{"reset the device", "reset the machine"} {
		for _, how := range []string{"Kill", "Close", "context"} {
			t.Run(filepath.Join(end, how), func(t *testing.T) {
				leavesNothing(t)
				d := newStubborn(t)
				c := mayfly.Config{Kernel: file(t, "resetter.elf", machinetest.Resetter(end)), Load: mayfly.LoadCopy,
					Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "stubborn", Device: d}}}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				vm := startIn(t, ctx, c)
				<-d.stopping
				inTime(t, "Pause", func() {
					if pauseShortly(t, vm) {
						t.Error("paused while a transfer is under way")
					}
				})
				inTime(t, "PowerButton", func() {
					if err := vm.PowerButton(); err != nil {
						t.Error(err)
					}
				})
				killInTime(t, vm, how, cancel)
				select {
				case <-vm.Released():
					t.Error("all is released while a transfer is under way")
				default:
				}
				d.release()
				<-vm.Released()
			})
		}
	}
}

// killInTime ends a machine, whose context cancel ends, and closes it.
func killInTime(t *testing.T, vm *running, how string, cancel func()) {
	t.Helper()
	switch how {
	case "Kill":
		inTime(t, "Kill and Wait", func() { vm.Kill(); vm.want(mayfly.Killed) })
	case "context":
		inTime(t, "the context's end", func() { cancel(); vm.want(mayfly.Killed) })
	}
	inTime(t, "Close", func() { vm.Close() })
	vm.want(mayfly.Killed)
}

// TestPauseThatADeviceHoldsUp: a Pause of which the device does not come to an end
// returns with its context, and with the end of the machine. The machine goes on until
// then.
func TestPauseThatADeviceHoldsUp(t *testing.T) {
	for _, how := range []string{"Kill", "Close", "context"} {
		t.Run(how, func(t *testing.T) {
			leavesNothing(t)
			d := newStubborn(t)
			c := mayfly.Config{Kernel: file(t, "echoer.elf", machinetest.Echoer()), Load: mayfly.LoadCopy,
				Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "stubborn", Device: d}}}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			vm := startIn(t, ctx, c)
			vm.await("S", 1)
			for _, key := range []string{"a", "b"} { // the Stop of the first is under way at the second
				inTime(t, "Pause", func() {
					if pauseShortly(t, vm) {
						t.Error("paused while a transfer is under way")
					}
				})
				<-d.stopping // closed
				if vm.Resume() == nil {
					t.Error("there is something to resume")
				}
				vm.press(key)
				vm.await(key, 1)
			}
			paused := make(chan error)
			go func() { paused <- vm.Pause(context.Background()) }()
			machinetest.Until(t, "state paused", func() bool { return vm.State() == mayfly.StatePaused })
			killInTime(t, vm, how, cancel)
			inTime(t, "Pause", func() {
				if err := <-paused; !errors.Is(err, mayfly.ErrNotRunning) && !errors.Is(err, mayfly.ErrClosed) {
					t.Errorf("Pause of a machine that ends: %v", err)
				}
			})
			d.release()
			<-vm.Released()
		})
	}
}

// TestPauseAfterOneThatWasGivenUp: the device's late end of its Stop is no hindrance.
func TestPauseAfterOneThatWasGivenUp(t *testing.T) {
	leavesNothing(t)
	d := newStubborn(t)
	vm := start(t, mayfly.Config{Kernel: file(t, "echoer.elf", machinetest.Echoer()),
		Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "stubborn", Device: d}}})
	vm.await("S", 1)
	if pauseShortly(t, vm) {
		t.Fatal("paused while a transfer is under way")
	}
	d.release()
	if err := vm.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := vm.Resume(); err != nil {
		t.Fatal(err)
	}
	vm.press("x")
	vm.await("x", 1)
}

// TestPausesDuringRestarts: a machine that reboots again and again, with a disk at
// work, is at rest after each Pause, and loses none.
func TestPausesDuringRestarts(t *testing.T) {
	leavesNothing(t)
	vm := start(t, mayfly.Config{Kernel: file(t, "zeroer.elf", machinetest.Zeroer(8, "reset the machine")), Load: mayfly.LoadCopy,
		Devices: []mayfly.DeviceConfig{blk.Config{Path: memoryDisk(t)}}})
	for vm.Stats().Restarts < 6 {
		if err := vm.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := vm.Stats()
		for range 100 {
			if now := vm.Stats(); now.State != mayfly.StatePaused || now.Restarts != before.Restarts || !maps.Equal(now.Exits, before.Exits) || !reflect.DeepEqual(now.Devices, before.Devices) {
				t.Fatalf("%+v, and was %+v", now, before)
			}
		}
		if err := vm.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	if err := vm.Kill(); err != nil {
		t.Fatal(err)
	}
	vm.want(mayfly.Killed)
}
