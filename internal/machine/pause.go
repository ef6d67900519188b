package machine

import (
	"context"
	"fmt"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Pause stops vCPUs and devices: when it returns nil, nothing writes guest memory and
// no device has I/O of the host's in flight. Each Pause wants its Resume. When ctx ends
// before that, the machine runs on, and the error is ctx's.
func (m *Machine) Pause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case m.pausing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-m.pausing }()
	if err := m.hold(); err != nil {
		return err
	}
	err := m.quiesce(ctx)
	if err != nil {
		_ = m.unpause() // of a machine that still runs
	}
	return err
}

// hold counts a Pause, and keeps vCPUs out of the guest.
func (m *Machine) hold() error {
	return m.whileRunning(func(h *hardware) error {
		if m.pauses++; h != nil { // the next hardware is held before it runs
			h.hold()
		}
		return nil
	})
}

// quiesce returns when the machine, which is held, is at rest. Where it restarts
// meanwhile, that is its next start.
func (m *Machine) quiesce(ctx context.Context) error {
	var before *hardware
	for {
		h, err := m.awaitHardware(ctx, before)
		if err != nil {
			return err
		}
		if err := h.quiesce(ctx); err == nil || !h.hasEnded() {
			return err
		}
		before = h
	}
}

// awaitHardware waits for hardware that is not the one before, on which the machine is
// held.
func (m *Machine) awaitHardware(ctx context.Context, before *hardware) (*hardware, error) {
	for {
		m.mu.Lock()
		state, h, changed, held := m.state, m.hardware, m.changed, m.pauses > 0
		m.mu.Unlock()
		switch {
		case state == Closed:
			return nil, ErrClosed
		case state != Running, !held: // a Start that failed has let go of it
			return nil, ErrNotRunning
		case h != nil && h != before:
			return h, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Resume lets a paused machine go on.
func (m *Machine) Resume() error {
	select {
	case m.pausing <- struct{}{}:
	case <-m.done: // which select may choose although pausing has room: the error is the same
		return m.whileRunning(func(*hardware) error { return ErrNotRunning })
	}
	defer func() { <-m.pausing }()
	return m.unpause()
}

func (m *Machine) unpause() error {
	var held *hardware
	err := m.whileRunning(func(h *hardware) error {
		if m.pauses == 0 {
			return errNotPaused
		}
		if m.pauses--; m.pauses == 0 {
			held = h
		}
		return nil
	})
	if held != nil {
		held.resume()
	}
	return err
}

func (h *hardware) hasEnded() bool {
	select {
	case <-h.ended:
		return true
	default:
		return false
	}
}

// quiesce stops the devices' work after the vCPUs', which are held. Pause and Resume,
// which call it, come one at a time.
func (h *hardware) quiesce(ctx context.Context) error {
	if h.quiet {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-h.ended:
			cancel()
		case <-over:
		}
	}()
	if err := h.late.await(ctx); err != nil { // loading writes guest memory
		return err
	}
	h.gate.awaitEmpty(ctx, h.vcpus.handling)
	if h.hasEnded() {
		return ErrNotRunning
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, s := range h.slots {
		if err := s.instance.Pause(ctx); err != nil {
			for _, done := range h.slots[:i] {
				done.instance.Resume()
			}
			if h.hasEnded() {
				return ErrNotRunning
			}
			return fmt.Errorf("pausing: %w", virtio.Named(h.spec.Devices[i].Name, err))
		}
	}
	h.quiet = true
	return nil
}

// resume lets devices and vCPUs go on.
func (h *hardware) resume() {
	if h.quiet {
		h.quiet = false
		for _, s := range h.slots {
			s.instance.Resume()
		}
	}
	h.release()
}
