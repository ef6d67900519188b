package virtio

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/memory"
)

// Session is what a device works with while a driver uses it: from DRIVER_OK to
// the reset.
type Session struct {
	Memory   *memory.Map
	Features Feature
	// Queues are those of Device.QueueSizes; nil where the driver set none up.
	Queues []*Queue

	in      *Instance
	usable  bool // its queues are open
	running bool // the device is between Start and Stop
	fresh   bool // the device was never started for it
	ending  atomic.Bool
}

// open makes queue i as a driver has just set it up.
func (s *Session) open(i int, q QueueState) error {
	q.Avail, q.Used = 0, 0
	if s.Features.Has(FeatureRingPacked) {
		q.Avail, q.Used = firstPosition, firstPosition
	}
	return s.openAt(i, q)
}

// openAt makes queue i in the middle of its life.
func (s *Session) openAt(i int, state QueueState) error {
	most := s.in.MaxSize(i)
	power := state.Size&(state.Size-1) == 0 || s.Features.Has(FeatureRingPacked)
	if state.Size == 0 || state.Size > most || !power {
		return fmt.Errorf("queue %d: a size of %d; it has 1 to %d descriptors, in split rings a power of two", i, state.Size, most)
	}
	q := &Queue{index: i, size: state.Size, setup: state, mem: s.Memory, features: s.Features,
		interrupt: s.in.transport.Interrupt(i), fail: s.Fail, asleep: true}
	if err := q.attach(); err != nil {
		return fmt.Errorf("queue %d: %w", i, err)
	}
	var err error
	if q.kick, err = eventfd.New(); err != nil {
		return err
	}
	if err := s.in.transport.Bind(i, q.kick.FD()); err != nil {
		q.kick.Close()
		return fmt.Errorf("queue %d: %w", i, err)
	}
	s.Queues[i] = q
	return nil
}

// close gives back what the session holds. The device has stopped.
func (s *Session) close() {
	s.usable, s.running = false, false
	for i, q := range s.Queues {
		if q == nil {
			continue
		}
		s.in.transport.Unbind(i, q.kick.FD())
		q.kick.Close()
		s.Queues[i] = nil
	}
}

// Queue is queue i, or nil when the driver has set up none of that number.
func (s *Session) Queue(i int) *Queue {
	if i < 0 || i >= len(s.Queues) {
		return nil
	}
	return s.Queues[i]
}

// Fresh reports, in Device.Start, whether the driver has just set the device up: the
// Start is the first of the session. If not, the device goes on after a Stop, or with
// the state that SetState took.
func (s *Session) Fresh() bool { return s.fresh }

// ConfigChanged tells the driver that the configuration space has changed. It may come
// between Stop and Start too; after the session's end it does nothing.
func (s *Session) ConfigChanged() {
	if !s.ending.Load() {
		s.in.ConfigChanged()
	}
}

// Fail makes the device need a reset: the host or the driver did what leaves no
// way on. The device stays started, with nothing to do, until its Stop.
func (s *Session) Fail(err error) { s.in.needsReset(err) }

// Ending tells whether the session is over for its driver, by a reset or because the
// machine has ended. Requests under way need no answer then, and a device should
// abandon those that it can. Unlike before a Save, where all that were taken from a
// ring must be answered.
func (s *Session) Ending() bool { return s.ending.Load() || s.in.halted.Load() }

// Halted tells whether the machine has ended: what the host's kernel does for the
// device should be cancelled too.
func (s *Session) Halted() bool { return s.in.halted.Load() }

// Guard runs do, which touches guest memory: a page that the host can't give
// (a truncated file below it, no memory) or a defect of ours ends this device
// and not the process. It reports whether do came to its end.
func (s *Session) Guard(do func()) (done bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if fault, ok := r.(interface{ Addr() uintptr }); ok {
			s.Fail(fmt.Errorf("guest memory at host address %#x could not be reached", fault.Addr()))
			return
		}
		s.Fail(fmt.Errorf("a defect of the monitor: %v\n%s", r, debug.Stack()))
	}()
	do()
	return true
}
