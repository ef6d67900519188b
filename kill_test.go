package mayfly_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
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
	case <-time.After(patience):
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
				c := mayfly.Config{Kernel: file(t, "zeroer.elf", mayfly.Zeroer(128<<11, end)), Load: mayfly.LoadCopy,
					Disks: []mayfly.Disk{{Path: memoryDisk(t)}}}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				vm := startIn(t, ctx, c)
				vm.screen.await(t, "R", 1)
				switch how {
				case "Pause":
					inTime(t, "Pause", func() { vm.Pause() })
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
	once     sync.Once
	stopping chan struct{}
	let      chan struct{}
}

func (s *stubborn) Stop() {
	s.once.Do(func() { close(s.stopping) })
	<-s.let
	s.Echo.Stop()
}

// TestEndsBesideAStubbornDevice: a transfer that the host can't end, which a reset
// by its driver or by the machine waits for, holds up nobody either. Memory stays
// until it has ended.
func TestEndsBesideAStubbornDevice(t *testing.T) {
	for _, end := range []string{"reset the device", "reset the machine"} {
		for _, how := range []string{"Kill", "Close", "context"} {
			t.Run(filepath.Join(end, how), func(t *testing.T) {
				leavesNothing(t)
				d := &stubborn{stopping: make(chan struct{}), let: make(chan struct{})}
				c := mayfly.Config{Kernel: file(t, "resetter.elf", mayfly.Resetter(end)), Load: mayfly.LoadCopy,
					Devices: []mayfly.Device{{Name: "stubborn", Device: d}}}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				vm := startIn(t, ctx, c)
				<-d.stopping
				inTime(t, "Pause", func() {
					if err := vm.Pause(); err != nil {
						t.Error(err)
					}
				})
				inTime(t, "Resume", func() {
					if err := vm.Resume(); err != nil {
						t.Error(err)
					}
				})
				inTime(t, "PowerButton", func() {
					if err := vm.PowerButton(); err != nil {
						t.Error(err)
					}
				})
				switch how {
				case "Kill":
					inTime(t, "Kill and Wait", func() { vm.Kill(); vm.want(mayfly.Killed) })
				case "context":
					inTime(t, "the context's end", func() { cancel(); vm.want(mayfly.Killed) })
				}
				inTime(t, "Close", func() { vm.Close() })
				vm.want(mayfly.Killed)
				select {
				case <-vm.Released():
					t.Error("all is released while a transfer is under way")
				default:
				}
				close(d.let)
				<-vm.Released()
			})
		}
	}
}
