package mayfly_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

func TestStateThroughALife(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	vm, err := mayfly.New(guest(t, check.Options{NoChecks: true, End: check.Button}))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	for _, step := range []struct {
		name string
		do   func() error
		want mayfly.State
	}{
		{"New", func() error { return nil }, mayfly.StateNew},
		{"Start", func() error { return vm.Start(context.Background()) }, mayfly.StateRunning},
		{"Pause", func() error { return vm.Pause(t.Context()) }, mayfly.StatePaused},
		{"PowerButton", vm.PowerButton, mayfly.StatePaused},
		{"Resume", vm.Resume, mayfly.StateRunning},
		{"Wait", func() error {
			// A press before the guest listens is lost.
			for {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, err := vm.Wait(ctx)
				cancel()
				if !errors.Is(err, context.DeadlineExceeded) {
					return err
				}
				_ = vm.PowerButton()
			}
		}, mayfly.StateEnded},
		{"Close", vm.Close, mayfly.StateClosed},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		// The guest may have taken the press at once after the Resume.
		if got := vm.State(); got != step.want && (step.name != "Resume" || got != mayfly.StateEnded) {
			t.Errorf("after %s: %q, want %q", step.name, got, step.want)
		}
	}
}

// A machine whose Start fails is as it was before.
func TestStateAfterAStartThatFails(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	vm, err := mayfly.New(guest(t, check.Options{NoChecks: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := vm.Start(ctx); !errors.Is(err, context.Canceled) || vm.State() != mayfly.StateNew {
		t.Errorf("Start: %v, %q", err, vm.State())
	}
	if s := vm.Stats(); s.Uptime != 0 {
		t.Errorf("%+v", s)
	}
	if err := vm.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestShutdown(t *testing.T) {
	for name, c := range map[string]struct {
		end    check.End
		pause  bool
		within time.Duration // of Shutdown's context; 0: without end
		want   mayfly.Reason
	}{
		"a guest that listens":             {check.Button, false, 0, mayfly.PowerOff},
		"a guest that listens, in time":    {check.Button, false, machinetest.Patience, mayfly.PowerOff},
		"a guest that does not listen":     {check.UDLoop, false, 50 * time.Millisecond, mayfly.Killed},
		"a context that has ended":         {check.UDLoop, false, -1, mayfly.Killed},
		"a guest that listens, and paused": {check.Button, true, 50 * time.Millisecond, mayfly.Killed},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			vm := start(t, guest(t, check.Options{NoChecks: true, End: c.end}))
			vm.await("1..0", 1)
			if c.pause {
				if err := vm.Pause(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.Background(), func() {}
			if c.within != 0 {
				ctx, cancel = context.WithTimeout(ctx, c.within)
			}
			defer cancel()
			for range 2 { // the second finds that the machine has ended
				if o, err := vm.Shutdown(ctx); err != nil || o.Reason != c.want {
					t.Errorf("%+v, %v, want %q", o, err, c.want)
				}
			}
			vm.Close()
			if o, err := vm.Shutdown(ctx); err != nil || o.Reason != c.want {
				t.Errorf("after Close: %+v, %v, want %q", o, err, c.want)
			}
		})
	}
}

func TestShutdownBeforeTheStart(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	vm, err := mayfly.New(guest(t, check.Options{NoChecks: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if o, err := vm.Shutdown(context.Background()); !errors.Is(err, mayfly.ErrNotRunning) || vm.State() != mayfly.StateNew {
		t.Errorf("%+v, %v, then %q", o, err, vm.State())
	}
	if err := vm.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestShutdownOfAClosedMachine(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	vm, err := mayfly.New(guest(t, check.Options{NoChecks: true}))
	if err != nil {
		t.Fatal(err)
	}
	vm.Close()
	if o, err := vm.Shutdown(context.Background()); !errors.Is(err, mayfly.ErrClosed) {
		t.Errorf("%+v, %v", o, err)
	}
}
