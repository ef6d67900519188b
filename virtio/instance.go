package virtio

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/memory"
)

// Bits of the device status (section 2.1).
const (
	StatusAcknowledge uint8 = 1
	StatusDriver      uint8 = 2
	StatusDriverOK    uint8 = 4
	StatusFeaturesOK  uint8 = 8
	StatusNeedsReset  uint8 = 64
	StatusFailed      uint8 = 128
)

// Transport is the way between an Instance and its driver.
//
// Interrupt.Signal and ConfigChanged come from goroutines for whose end SetStatus
// waits: a Transport holds no lock that these take while it calls an Instance.
type Transport interface {
	// Bind makes the driver's notifications of queue i signal bell, until Unbind.
	// They may also come as Instance.Notify: what the processors' side can't do by
	// itself.
	Bind(i int, bell *eventfd.FD) error
	Unbind(i int, bell *eventfd.FD)
	// Interrupt is that of queue i's used buffers. It is asked for at the start of
	// a session.
	Interrupt(i int) Interrupt
	// ConfigChanged interrupts the driver because of a change of the configuration
	// space or because the device needs a reset.
	ConfigChanged()
	// Refresh comes after a Restore and after a Resume: what the driver can read may
	// have changed. It comes from who holds no lock.
	Refresh()
}

// Options of an Instance.
type Options struct {
	Memory *memory.Map
	// Packed offers packed rings. A driver that doesn't know them takes split ones.
	Packed bool
	// Report is told why a device needs a reset, once a session: a driver's mistake
	// or a failure of the host. nil: nobody is.
	Report func(error)
}

// Instance is a device as its driver sees it: the state machine of section 3.1
// over a Device. A transport's registers are a thin layer over its methods, which
// are safe for several goroutines.
type Instance struct {
	dev       Device
	opts      Options
	transport Transport
	offered   Feature

	generation atomic.Uint32
	status     atomic.Uint32
	halted     atomic.Bool
	busy       atomic.Uint64 // calls of Work that could not ask

	mu       sync.Mutex // of what follows; Start and Stop of the device run under it
	accepted Feature
	queues   []QueueState
	session  *Session // between DRIVER_OK and the reset
	paused   bool
}

// New makes an Instance in its reset state. Attach gives it its transport.
func New(dev Device, o Options) *Instance {
	in := &Instance{dev: dev, opts: o}
	in.offered = dev.Features() | FeatureVersion1 | FeatureIndirectDesc | FeatureEventIndex
	if o.Packed {
		in.offered |= FeatureRingPacked
	}
	in.clear()
	return in
}

// Attach tells the Instance its transport, once, before a driver can reach it.
func (in *Instance) Attach(t Transport) { in.transport = t }

// Device is what stands behind the Instance.
func (in *Instance) Device() Device { return in.dev }

func (in *Instance) clear() {
	in.accepted = 0
	in.queues = in.queues[:0]
	for _, size := range in.dev.QueueSizes() {
		in.queues = append(in.queues, QueueState{Size: size})
	}
}

// NumQueues is the number of queues.
func (in *Instance) NumQueues() int { return len(in.dev.QueueSizes()) }

// Features are those offered.
func (in *Instance) Features() Feature { return in.offered }

// Accept is the driver's choice of features. It counts when FEATURES_OK is set.
func (in *Instance) Accept(f Feature) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.Status()&StatusFeaturesOK == 0 {
		in.accepted = f
	}
}

// Accepted is the driver's choice.
func (in *Instance) Accepted() Feature {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.accepted
}

// Status is the device status.
func (in *Instance) Status() uint8 { return uint8(in.status.Load()) }

// Generation changes with every change of the configuration space (section 2.5).
func (in *Instance) Generation() uint32 { return in.generation.Load() }

// ConfigChanged tells the driver that the configuration space has changed.
func (in *Instance) ConfigChanged() {
	in.generation.Add(1)
	in.transport.ConfigChanged()
}

// ReadConfig and WriteConfig access the configuration space.
func (in *Instance) ReadConfig(off uint64, p []byte) { in.dev.ReadConfig(off, p) }

// WriteConfig is the driver's write to the configuration space.
func (in *Instance) WriteConfig(off uint64, p []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.dev.WriteConfig(off, p)
}

// Queue is what the driver has set up of queue i; the zero QueueState when there
// is no such queue.
func (in *Instance) Queue(i int) QueueState {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i < 0 || i >= len(in.queues) {
		return QueueState{}
	}
	return in.queues[i]
}

// MaxSize is the greatest size of queue i; 0 when there is no such queue.
func (in *Instance) MaxSize(i int) uint16 {
	if sizes := in.dev.QueueSizes(); i >= 0 && i < len(sizes) {
		return sizes[i]
	}
	return 0
}

// SetQueue changes the set-up of queue i, as long as the device does not run. A
// queue that is ready takes no change but to be not ready any more.
func (in *Instance) SetQueue(i int, change func(*QueueState)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if i < 0 || i >= len(in.queues) || in.session != nil {
		return
	}
	q := in.queues[i]
	change(&q)
	if in.queues[i].Ready && q.Ready {
		return
	}
	in.queues[i] = q
}

// SetStatus is the driver's write to the device status. 0 resets the device.
func (in *Instance) SetStatus(v uint8) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if v == 0 {
		in.reset()
		return
	}
	old := in.Status()
	set := v &^ old &^ StatusNeedsReset
	if set&StatusFeaturesOK != 0 && !in.acceptable() {
		set &^= StatusFeaturesOK
	}
	if set&StatusDriverOK != 0 && (old|set)&StatusFeaturesOK == 0 {
		set &^= StatusDriverOK // section 3.1.1: a driver that skips a step gets no device
	}
	in.status.Or(uint32(set))
	if set&StatusDriverOK != 0 {
		if err := in.start(); err != nil {
			in.needsReset(err)
		}
	}
}

// acceptable tells whether a driver may use the device so (section 2.2.2).
func (in *Instance) acceptable() bool {
	return in.accepted&^in.offered == 0 && in.accepted.Has(FeatureVersion1)
}

// reset brings the device back to where it began (section 2.4).
func (in *Instance) reset() {
	in.stop()
	in.status.Store(0)
	in.clear()
}

// start makes a session of what the driver set up.
func (in *Instance) start() error {
	s := &Session{in: in, Memory: in.opts.Memory, Features: in.accepted, Queues: make([]*Queue, len(in.queues))}
	in.session = s
	for i := range in.queues {
		if !in.queues[i].Ready {
			continue
		}
		if err := s.open(i, in.queues[i]); err != nil {
			s.close()
			return err
		}
	}
	if err := in.dev.Start(s); err != nil {
		s.close()
		return fmt.Errorf("the device did not start: %w", err)
	}
	s.started = true
	// What the driver made available before anybody listened.
	for _, q := range s.Queues {
		if q != nil {
			q.bell.Signal()
		}
	}
	return nil
}

func (in *Instance) stop() {
	s := in.session
	if s == nil {
		return
	}
	s.ending.Store(true)
	if s.started && !in.paused {
		s.Guard(in.dev.Stop)
	}
	s.close()
	in.session, in.paused = nil, false
}

// Notify is the driver's word that queue i has new chains, where the doorbell
// itself could not tell.
func (in *Instance) Notify(i int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.session; s != nil && i >= 0 && i < len(s.Queues) && s.Queues[i] != nil {
		s.Queues[i].bell.Signal()
	}
}

// needsReset tells driver and people that the device can't go on. It takes no
// lock: those who find out hold one, or must not wait for one.
func (in *Instance) needsReset(err error) {
	if old := in.status.Or(uint32(StatusNeedsReset)); old&uint32(StatusNeedsReset) != 0 {
		return
	}
	if in.opts.Report != nil {
		in.opts.Report(fmt.Errorf("%s: %w; the device needs a reset", in.dev.Type(), err))
	}
	if in.Status()&StatusDriverOK != 0 {
		in.transport.ConfigChanged()
	}
}

// Close stops the device for good; the Device itself stays its owner's.
func (in *Instance) Close() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stop()
}

// Halt says that the machine has ended: a Stop of the device that is under way, or
// comes later, is not to wait for requests that can be abandoned. It takes no lock,
// since a driver's reset may hold the Instance's for as long as its requests take.
func (in *Instance) Halt() { in.halted.Store(true) }

// Pause stops the device where it is, for Save. Resume lets it go on.
func (in *Instance) Pause() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.session; s != nil && s.started && !in.paused {
		s.Guard(in.dev.Stop) // it may look at its rings once more
		in.paused = true
	}
}

// Resume ends a Pause.
func (in *Instance) Resume() {
	in.resume()
	in.transport.Refresh()
}

func (in *Instance) resume() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.paused {
		return
	}
	in.paused = false
	if err := in.dev.Start(in.session); err != nil {
		in.session.started = false
		in.needsReset(fmt.Errorf("the device did not start again: %w", err))
		return
	}
	for _, q := range in.session.Queues {
		if q != nil {
			q.bell.Signal()
		}
	}
}

// Save is the whole state of a paused Instance.
func (in *Instance) Save() (State, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.session != nil && in.session.started && !in.paused {
		return State{}, errors.New("virtio: the device runs; pause it first")
	}
	s := State{Version: StateVersion, Type: in.dev.Type(), Status: in.Status(), Accepted: in.accepted,
		Generation: in.generation.Load(), Device: in.dev.State()}
	s.Queues = append(s.Queues, in.queues...)
	if in.session != nil {
		for i, q := range in.session.Queues {
			if q != nil {
				s.Queues[i] = q.State()
			}
		}
	}
	return s, nil
}

// Restore puts an Instance that no driver has touched into a saved state. If a
// session was going on, the device is paused; Resume starts it.
func (in *Instance) Restore(s State) error {
	err := in.restore(s)
	in.transport.Refresh()
	return err
}

func (in *Instance) restore(s State) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case s.Version != StateVersion:
		return fmt.Errorf("virtio: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Type != in.dev.Type():
		return fmt.Errorf("virtio: the saved state is a %s device's, this is a %s device", s.Type, in.dev.Type())
	case len(s.Queues) != len(in.queues):
		return fmt.Errorf("virtio: the saved state has %d queues, the device %d", len(s.Queues), len(in.queues))
	case s.Accepted&^in.offered != 0:
		return fmt.Errorf("virtio: the saved driver uses features %#x that the device does not offer", s.Accepted&^in.offered)
	case s.Status&StatusFeaturesOK != 0 && !s.Accepted.Has(FeatureVersion1), s.Status&(StatusDriverOK|StatusFeaturesOK) == StatusDriverOK:
		return fmt.Errorf("virtio: the saved status %#x with features %#x: no driver comes to that", s.Status, s.Accepted)
	case in.session != nil:
		return errors.New("virtio: the device runs; restore into a new one")
	}
	if err := in.dev.SetState(s.Device); err != nil {
		return err
	}
	in.accepted = s.Accepted
	copy(in.queues, s.Queues)
	in.generation.Store(s.Generation)
	in.status.Store(uint32(s.Status))
	if s.Status&StatusDriverOK == 0 || s.Status&StatusNeedsReset != 0 {
		return nil
	}
	ses := &Session{in: in, Memory: in.opts.Memory, Features: in.accepted, Queues: make([]*Queue, len(in.queues)), started: true}
	for i := range in.queues {
		if !in.queues[i].Ready {
			continue
		}
		if err := ses.openAt(i, in.queues[i]); err != nil {
			ses.close()
			return err
		}
	}
	in.session, in.paused = ses, true
	return nil
}
