package virtio

import (
	"fmt"
	"sync"
	"sync/atomic"

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
	// Bind makes the driver's kicks of queue i signal the eventfd kick, a descriptor,
	// until Unbind. They may also come as Instance.Notify: what the processors' side
	// can't do by itself.
	Bind(i, kick int) error
	Unbind(i, kick int)
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
	paused     atomic.Bool   // written by the holder of transition
	untold     atomic.Bool   // the driver is to be interrupted for its configuration at the Resume
	busy       atomic.Uint64 // calls of Work that could not ask

	// transition has room for one element, which is there while the device is started,
	// stopped, saved or restored. A Stop may take as long as the host's storage: who
	// waits for the transition must be who can wait for that.
	transition chan struct{}

	// mu is held for short times only, never while the device starts or stops.
	mu       sync.Mutex
	accepted Feature
	queues   []QueueState
	// session lives from DRIVER_OK to the reset. It and its started are written by the
	// holder of transition and mu.
	session *Session
}

// New makes an Instance in its reset state. Attach gives it its transport.
func New(dev Device, o Options) *Instance {
	in := &Instance{dev: dev, opts: o, transition: make(chan struct{}, 1)}
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

// ConfigChanged tells the driver that the configuration space has changed. The
// driver of a paused device is interrupted after the Resume.
func (in *Instance) ConfigChanged() {
	in.generation.Add(1)
	in.interruptConfig()
}

func (in *Instance) interruptConfig() {
	if in.paused.Load() {
		in.untold.Store(true)
		if in.paused.Load() || !in.untold.Swap(false) {
			return // Resume sees untold, or has seen it
		}
	}
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

// SetStatus is the driver's write to the device status. 0 resets the device, and
// returns when it has stopped.
func (in *Instance) SetStatus(v uint8) {
	if v == 0 {
		in.reset()
		return
	}
	if in.setStatus(v) {
		in.begin()
	}
}

// setStatus sets bits, and reports whether DRIVER_OK is among those that were not set.
func (in *Instance) setStatus(v uint8) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	old := in.Status()
	set := v &^ old &^ StatusNeedsReset
	if set&StatusFeaturesOK != 0 && !in.acceptable() {
		set &^= StatusFeaturesOK
	}
	if set&StatusDriverOK != 0 && (old|set)&StatusFeaturesOK == 0 {
		set &^= StatusDriverOK // section 3.1.1: a driver that skips a step gets no device
	}
	in.status.Or(uint32(set))
	return set&StatusDriverOK != 0
}

// acceptable tells whether a driver may use the device so (section 2.2.2).
func (in *Instance) acceptable() bool {
	return in.accepted&^in.offered == 0 && in.accepted.Has(FeatureVersion1)
}

// Notify is the driver's notification that queue i has new chains, where no
// ioeventfd takes it.
func (in *Instance) Notify(i int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s := in.session; s != nil && i >= 0 && i < len(s.Queues) && s.Queues[i] != nil {
		s.Queues[i].kicks.Add(1)
		s.Queues[i].kick.Signal()
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
		in.interruptConfig()
	}
}

// Halt says that the machine has ended: a Stop of the device that is under way, or
// comes later, is not to wait for requests that can be abandoned. It takes no lock,
// since a driver's reset may take as long as its requests.
func (in *Instance) Halt() { in.halted.Store(true) }
