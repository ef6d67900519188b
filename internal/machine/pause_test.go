package machine

import (
	"context"
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// Exits by which a scripted guest reboots and powers off.
var (
	reboots = out(layout.PortPower+2, 1)
	leaves  = out(layout.PortPower, 0x34)
)

// pauseWhile begins a Pause while hardware is made, and returns when the Pause waits for
// it. The result comes from the channel.
func pauseWhile(t *testing.T, m *Machine, ctx context.Context) chan error {
	result := make(chan error, 1)
	go func() { result <- m.Pause(ctx) }()
	machinetest.Until(t, "Pause", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.pauses > 0
	})
	return result
}

func TestPauseAndResumeAtTheWrongTime(t *testing.T) {
	m := onScript(t, setup{}, &script{})
	want := func(when string, pause, resume error) {
		t.Helper()
		if err := m.Pause(t.Context()); !errors.Is(err, pause) {
			t.Errorf("Pause %s: %v, want %v", when, err, pause)
		}
		if err := m.Resume(); !errors.Is(err, resume) {
			t.Errorf("Resume %s: %v, want %v", when, err, resume)
		}
	}
	want("before the start", ErrNotRunning, ErrNotRunning)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Resume(); !errors.Is(err, errNotPaused) {
		t.Errorf("Resume without a Pause: %v", err)
	}
	want("of a running machine", nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Pause(ctx); !errors.Is(err, context.Canceled) || m.State() != Running {
		t.Errorf("Pause with a context that has ended: %v, %s", err, m.State())
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("after the end", ErrNotRunning, ErrNotRunning)
	m.Close()
	if err := m.Pause(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Pause after Close: %v", err)
	}
	for range 100 {
		if err := m.Resume(); !errors.Is(err, ErrClosed) {
			t.Fatalf("Resume after Close: %v", err)
		}
	}
}

// Each Pause wants its Resume.
func TestPausesAreCounted(t *testing.T) {
	m := onScript(t, setup{}, &script{})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := m.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if m.State() != Paused {
			t.Errorf("%s after %d Resumes", m.State(), i)
		}
		if err := m.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	if m.State() != Running || m.Resume() == nil {
		t.Errorf("%s after as many Resumes as Pauses", m.State())
	}
}

// A Pause that comes while a machine starts or restarts is one of the next hardware, of
// which nothing runs.
func TestPauseWhileHardwareIsMade(t *testing.T) {
	for name, n := range map[string]int{"a start": 0, "a restart": 1} {
		t.Run(name, func(t *testing.T) {
			h := &script{}
			for range n {
				h.exits = append(h.exits, []hypervisor.Exit{reboots})
			}
			h.exits = append(h.exits, []hypervisor.Exit{in(0x1234), leaves})
			m := onScript(t, setup{}, h)
			var paused chan error
			begun := make(chan struct{})
			h.made = func(i int) {
				if i == n {
					paused = pauseWhile(t, m, t.Context())
					close(begun)
				}
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			<-begun
			if err := <-paused; err != nil {
				t.Fatal(err)
			}
			h.mu.Lock()
			starts, reads := h.starts, len(h.reads)
			h.mu.Unlock()
			if s := m.Stats(); s.State != Paused || s.Restarts != n || starts != n+1 || s.Exits["port in"] != 0 || reads != 0 {
				t.Errorf("%+v, %d starts, %d reads", s, starts, reads)
			}
			if err := m.Resume(); err != nil {
				t.Fatal(err)
			}
			if o, err := m.Wait(t.Context()); err != nil || o.Reason != PowerOff || o.Restarts != n {
				t.Errorf("%+v, %v", o, err)
			}
			if s := m.Stats(); s.Exits["port in"] != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What ends such a Pause before there is hardware.
func TestPauseThatWaitsForHardwareEnds(t *testing.T) {
	for how, c := range map[string]struct {
		do   func(m *Machine, cancel func())
		want error
	}{
		"its context": {func(_ *Machine, cancel func()) { cancel() }, context.Canceled},
		"Kill":        {func(m *Machine, _ func()) { m.Kill() }, ErrNotRunning},
		"Close":       {func(m *Machine, _ func()) { m.Close() }, ErrClosed},
	} {
		for name, n := range map[string]int{"start": 0, "restart": 1} {
			t.Run(how+" during a "+name, func(t *testing.T) {
				h := &script{}
				for range n {
					h.exits = append(h.exits, []hypervisor.Exit{reboots})
				}
				m := onScript(t, setup{}, h)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				made := make(chan struct{})
				h.made = func(i int) {
					if i != n {
						return
					}
					defer close(made)
					paused := pauseWhile(t, m, ctx)
					c.do(m, cancel)
					if err := <-paused; !errors.Is(err, c.want) {
						t.Errorf("Pause: %v, want %v", err, c.want)
					}
				}
				if err := m.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				<-made
				if how == "its context" {
					if m.State() != Running {
						t.Errorf("the machine is %s", m.State())
					}
					m.Kill()
				}
				if o, err := m.Wait(t.Context()); err != nil || o.Reason != Killed {
					t.Errorf("%+v, %v", o, err)
				}
			})
		}
	}
}

// A Start that fails lets go of who waits for its hardware; the next begins anew.
func TestPauseOfAStartThatFails(t *testing.T) {
	h := &script{err: errors.New("no more vCPUs"), exits: [][]hypervisor.Exit{nil, {leaves}}}
	m := onScript(t, setup{spec: Spec{CPUs: 2}}, h)
	var paused chan error
	h.made = func(n int) {
		if n == 0 {
			paused = pauseWhile(t, m, t.Context())
		}
	}
	if err := m.Start(t.Context()); !errors.Is(err, h.err) {
		t.Fatalf("Start: %v", err)
	}
	h.err = nil
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-paused; !errors.Is(err, ErrNotRunning) {
		t.Errorf("Pause: %v", err)
	}
	if o, err := m.Wait(t.Context()); err != nil || o.Reason != PowerOff {
		t.Errorf("%+v, %v", o, err)
	}
}

// A Pause waits for memory that is still being loaded, but not beyond its context.
func TestPauseWhileMemoryIsCompleted(t *testing.T) {
	for name, c := range map[string]struct {
		err  error // of the rest of memory
		kill bool
		want Reason
	}{
		"paused later":    {nil, false, Killed},
		"killed":          {nil, true, Killed},
		"memory is short": {errors.New("no more slots"), false, HostError},
	} {
		t.Run(name, func(t *testing.T) {
			h := &script{partial: true, attached: make(chan struct{}), attachErr: c.err}
			m := onScript(t, setup{}, h)
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			paused := pauseWhile(t, m, ctx)
			if cancel(); !c.kill {
				if err := <-paused; !errors.Is(err, context.Canceled) || m.State() != Running {
					t.Errorf("%v, %s", err, m.State())
				}
				paused = pauseWhile(t, m, t.Context())
				<-h.attached
				if err := <-paused; err != nil && c.err == nil || c.err != nil && !errors.Is(err, ErrNotRunning) {
					t.Errorf("Pause: %v", err)
				}
			}
			if c.err == nil {
				if err := m.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			if o, _ := m.Wait(t.Context()); o.Reason != c.want {
				t.Errorf("%+v", o)
			}
			if c.kill {
				<-paused
				<-h.attached // what the machine waits for before it is released
			}
		})
	}
}
