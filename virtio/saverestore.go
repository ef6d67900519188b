package virtio

import (
	"errors"
	"fmt"
)

// Save is the whole state of a paused Instance, or of one without a driver.
func (in *Instance) Save() (State, error) {
	in.mu.Lock()
	runs := in.session != nil && in.session.usable && !in.paused.Load()
	in.mu.Unlock()
	if runs {
		return State{}, errors.New("virtio: the device runs; pause it first")
	}
	in.lock()
	defer in.unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	ses := in.session
	switch {
	case ses != nil && ses.running:
		return State{}, errors.New("virtio: the device runs; pause it first")
	case ses != nil && ses.ending.Load():
		return State{}, errors.New("virtio: the driver resets the device; wait until its processors have left the access")
	}
	s := State{Version: StateVersion, Type: in.dev.Type(), Status: in.Status(), Accepted: in.accepted,
		Generation: in.generation.Load(), ConfigPending: in.untold.Load(), Device: in.dev.State()}
	s.Queues = append(s.Queues, in.queues...)
	if ses != nil {
		s.Fresh = ses.fresh
		for i, q := range ses.Queues {
			if q != nil {
				s.Queues[i] = q.State()
			}
		}
	}
	return s, nil
}

// Restore puts an Instance that no driver has touched into a saved state. It is
// paused then; Resume starts the device. After an error it is as it was, but the
// device may have taken its part of the state.
func (in *Instance) Restore(s State) error {
	err := in.restore(s)
	in.transport.Refresh()
	return err
}

func (in *Instance) restore(s State) error {
	in.lock()
	defer in.unlock()
	in.mu.Lock()
	defer in.mu.Unlock()
	if err := in.check(&s); err != nil {
		return err
	}
	if err := in.dev.SetState(s.Device); err != nil {
		return err
	}
	in.accepted = s.Accepted
	copy(in.queues, s.Queues)
	in.generation.Store(s.Generation)
	in.status.Store(uint32(s.Status))
	in.untold.Store(s.ConfigPending)
	in.paused.Store(true)
	if s.Status&StatusDriverOK == 0 {
		return nil
	}
	ses := &Session{in: in, Memory: in.opts.Memory, Features: in.accepted, Queues: make([]*Queue, len(in.queues)), fresh: s.Fresh}
	if s.Status&StatusNeedsReset != 0 {
		in.session = ses // until the reset the queues take no change
		return nil
	}
	ses.usable = true
	for i := range in.queues {
		if !in.queues[i].Ready {
			continue
		}
		if err := ses.openAt(i, in.queues[i]); err != nil {
			ses.close()
			in.status.Store(0)
			in.generation.Store(0)
			in.untold.Store(false)
			in.paused.Store(false)
			in.clear()
			return err
		}
	}
	in.session = ses
	return nil
}

// check tells why s can't be this Instance's state.
func (in *Instance) check(s *State) error {
	switch {
	case s.Version != StateVersion:
		return fmt.Errorf("virtio: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Type != in.dev.Type():
		return fmt.Errorf("virtio: the saved state is a %s device's, this is a %s device", s.Type, in.dev.Type())
	case len(s.Queues) != len(in.queues):
		return fmt.Errorf("virtio: the saved state has %d queues, the device %d", len(s.Queues), len(in.queues))
	case s.Status&StatusFeaturesOK != 0 && s.Accepted&^in.offered != 0: // before, they are what a driver has written
		return fmt.Errorf("virtio: the saved driver uses features %#x that the device does not offer", s.Accepted&^in.offered)
	case s.Status&StatusFeaturesOK != 0 && !s.Accepted.Has(FeatureVersion1), s.Status&(StatusDriverOK|StatusFeaturesOK) == StatusDriverOK:
		return fmt.Errorf("virtio: the saved status %#x with features %#x: no driver comes to that", s.Status, s.Accepted)
	case s.Fresh && s.Status&StatusDriverOK == 0:
		return fmt.Errorf("virtio: the saved status %#x has no DRIVER_OK, and the state is Fresh, which begins with that", s.Status)
	case in.session != nil:
		return errors.New("virtio: the device runs; restore into a new one")
	}
	return nil
}
