package virtio

import (
	"context"
	"errors"
	"fmt"
)

func (in *Instance) lock() { in.transition <- struct{}{} }

func (in *Instance) unlock() { <-in.transition }

// begin makes a session of what the driver set up, and starts the device. That of a
// paused Instance starts with the Resume.
func (in *Instance) begin() {
	in.lock()
	defer in.unlock()
	s, err := in.open()
	switch {
	case err != nil:
		in.needsReset(err)
	case s != nil && !in.paused.Load():
		in.start(s)
	}
}

// open makes the session; nil: another processor of the guest was faster, with a
// reset or a session.
func (in *Instance) open() (*Session, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.session != nil || in.Status()&StatusDriverOK == 0 {
		return nil, nil
	}
	s := &Session{in: in, Memory: in.opts.Memory, Features: in.accepted, Queues: make([]*Queue, len(in.queues)), fresh: true}
	in.session = s
	for i := range in.queues {
		if !in.queues[i].Ready {
			continue
		}
		if err := s.open(i, in.queues[i]); err != nil {
			s.close()
			return nil, err
		}
	}
	s.usable = true
	return s, nil
}

// start lets the device serve s: for the first time, or again after a Stop.
func (in *Instance) start(s *Session) {
	if !s.usable || s.running || s.ending.Load() || in.Status()&StatusNeedsReset != 0 {
		return
	}
	if err := in.dev.Start(s); err != nil {
		in.mu.Lock()
		s.close()
		in.mu.Unlock()
		in.needsReset(fmt.Errorf("the device did not start: %w", err))
		return
	}
	s.running, s.fresh = true, false
	// What the driver made available before anybody listened.
	for _, q := range s.Queues {
		if q != nil {
			q.Wake()
		}
	}
}

// stop stops the device if it runs. An error: it has not come to the end of its Stop,
// and the device needs a reset.
func (in *Instance) stop(s *Session) error {
	if !s.running {
		return nil
	}
	if !s.Guard(in.dev.Stop) {
		return errors.New("the device did not stop, and needs a reset")
	}
	s.running = false
	return nil
}

// end stops the device and ends its session.
func (in *Instance) end() {
	// Before the wait for the transition, which may be a Pause: nobody needs answers
	// to the requests that it waits for.
	in.mu.Lock()
	if in.session != nil {
		in.session.ending.Store(true)
	}
	in.mu.Unlock()
	in.lock()
	in.mu.Lock()
	s := in.session
	in.mu.Unlock()
	if s == nil {
		return
	}
	s.ending.Store(true)
	_ = in.stop(s)
	in.mu.Lock()
	s.close()
	in.session = nil
	in.mu.Unlock()
}

// reset brings the device back to where it began (section 2.4). A paused Instance
// stays paused.
func (in *Instance) reset() {
	in.end()
	defer in.unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.status.Store(0)
	in.untold.Store(false)
	in.clear()
}

// Close stops the device for good; the Device itself stays its owner's.
func (in *Instance) Close() {
	in.end()
	in.unlock()
}

// Pause stops the device's work until Resume, as Device.Stop does: requests that were
// begun are finished, others stay in their rings. When it returns nil, nothing of the
// device accesses guest memory and none of its I/O is under way on the host. The
// driver's registers go on to work; a session that the driver begins meanwhile, after
// a reset or as the first, starts with the Resume. The Pause of a paused Instance does
// nothing.
//
// When ctx ends first, Pause returns its error. The Instance is not paused then: as
// soon as the Stop is through, the device goes on by itself. Another error: the device
// needs a reset, and could not be stopped.
func (in *Instance) Pause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case in.transition <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	in.mu.Lock()
	s := in.session
	in.mu.Unlock()
	if in.paused.Load() || s == nil {
		in.paused.Store(true)
		in.unlock()
		return nil
	}
	stopped := make(chan error, 1)
	go func() { stopped <- in.stop(s) }()
	select {
	case err := <-stopped:
		if err == nil {
			in.paused.Store(true)
		}
		in.unlock()
		return err
	case <-ctx.Done():
		go func() {
			if <-stopped == nil {
				in.start(s)
			}
			in.unlock()
			in.transport.Refresh()
		}()
		return ctx.Err()
	}
}

// Resume ends a Pause or follows a Restore: the device goes on with the same session,
// and polls its rings once. A device that needs a reset waits for that.
func (in *Instance) Resume() {
	if !in.paused.Load() {
		return
	}
	in.lock() // no Stop is under way while the Instance is paused
	if in.paused.Load() {
		in.mu.Lock()
		s := in.session
		in.mu.Unlock()
		in.paused.Store(false)
		if s != nil {
			in.start(s)
		}
		if in.untold.Swap(false) {
			in.transport.ConfigChanged()
		}
	}
	in.unlock()
	in.transport.Refresh()
}
