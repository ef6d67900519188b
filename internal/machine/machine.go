package machine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/memory"
)

// Errors about calls that come at the wrong time.
var (
	ErrClosed     = errors.New("mayfly: the machine is closed")
	ErrStarted    = errors.New("mayfly: the machine was started already")
	ErrNotRunning = errors.New("mayfly: the machine is not running")
	ErrNoDevice   = errors.New("mayfly: no such device")
	errNotPaused  = errors.New("mayfly: the machine is not paused")
	errNoRoom     = errors.New("mayfly: no room for a break: the guest has left its input unread")
)

// Machine is one machine from its start to its end. Its methods may be called from
// any goroutine.
type Machine struct {
	spec Spec
	mem  *memory.Map

	closing  *hardware      // the supervisor's: the last that was closed, or is being
	work     sync.WaitGroup // a Start and the supervisor after it
	done     chan struct{}  // closed when result and err are set
	released chan struct{}
	closed   sync.Once
	pausing  chan struct{} // has one element while a Pause or Resume is under way

	mu       sync.Mutex // of what follows. Nobody waits for anything while holding it
	state    State
	hardware *hardware     // while running, but for its first and last moments
	changed  chan struct{} // closed, and made anew, when hardware or state has changed
	pauses   int           // Pause calls without their Resume
	pressed  bool          // the power button, while there was no hardware
	killed   bool          // no restart any more
	killing  string        // Outcome.Detail of that
	final    *ending       // of a machine whose hardware is being closed
	result   ending
	past     counters
	sealed   bool // Start's

	killSeen chan struct{} // closed when killed is set
	pace     restartPace   // the supervisor's

	serial  *serialPort
	console *console
}

// State is what a machine does.
type State string

// States.
const (
	New     State = "new"     // not started
	Running State = "running" // from the call of Start on
	Paused  State = "paused"  // running, and held
	Ended   State = "ended"
	Closed  State = "closed"
)

// Make makes a machine, which is to be started. It must be closed.
func Make(s Spec) *Machine {
	return &Machine{
		spec: s, state: New,
		done: make(chan struct{}), released: make(chan struct{}), killSeen: make(chan struct{}),
		pausing: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Start loads the machine and lets it run; it returns when the first vCPU is about to
// enter the guest. When ctx ends, the machine is killed.
func (m *Machine) Start(ctx context.Context) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() { m.kill(ctx.Err().Error()) })
	h, err := m.assemble(false)
	if err == nil {
		err = m.seal(h)
	}
	if err != nil {
		forget()
		m.startFailed(err)
		m.work.Done()
		return err
	}
	m.launch(h, 0)
	m.console = startConsole(m.spec.Console.In, m.serial.device)
	go func() {
		defer m.work.Done()
		defer forget()
		m.supervise(h)
	}()
	return nil
}

func (m *Machine) begin(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.state {
	case New:
	case Closed:
		return ErrClosed
	default:
		return ErrStarted
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.serial == nil {
		port, err := newSerialPort(&m.spec)
		if err != nil {
			return err
		}
		m.serial = port
	}
	m.setState(Running)
	m.past.begun = time.Now()
	m.work.Add(1)
	return nil
}

// assemble makes hardware with the guest's memory, which is empty.
func (m *Machine) assemble(expired bool) (*hardware, error) {
	if m.mem == nil {
		mem, err := memory.New(m.spec.Plan.RAM, memory.Options{HugeTLB: m.spec.HugePages, Prealloc: m.spec.Prealloc})
		if err != nil {
			return nil, err
		}
		m.mem = mem
	}
	return newHardware(&m.spec, m.mem, m.serial, expired)
}

// seal confines the process, once, before its machine runs. It closes hardware whose
// process can't be confined.
func (m *Machine) seal(h *hardware) error {
	if m.sealed {
		return nil
	}
	if err := m.spec.seal(); err != nil {
		h.abandon(m.serial)
		return err
	}
	m.sealed = true
	m.spec.Timeline.Mark("process confined")
	return nil
}

// startFailed lets the machine be started again, unless it was killed meanwhile.
func (m *Machine) startFailed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.killed {
		m.publish(ending{Outcome: Outcome{Reason: Killed, Detail: m.killing}})
		return
	}
	m.pauses, m.pressed, m.past.begun = 0, false, time.Time{}
	m.setState(New)
}

// Wait returns how the machine ended. The error is ctx's, or that of a failure
// of the host.
func (m *Machine) Wait(ctx context.Context) (Outcome, error) {
	select {
	case <-m.done:
		return m.result.Outcome, m.result.err
	default:
	}
	select {
	case <-m.done:
		return m.result.Outcome, m.result.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// State is what the machine does.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stateLocked()
}

func (m *Machine) stateLocked() State {
	if m.state == Running && m.pauses > 0 {
		return Paused
	}
	return m.state
}

// PowerButton presses the ACPI power button: a guest that listens shuts down.
func (m *Machine) PowerButton() error {
	return m.whileRunning(func(h *hardware) error {
		if m.pressed = h == nil; h != nil {
			h.power.PressButton()
		}
		return nil
	})
}

// Break puts a break condition on the serial line, after the input that waits
// there. Linux takes a break and a letter for a SysRq request.
func (m *Machine) Break() error {
	return m.whileRunning(func(*hardware) error {
		if !m.serial.device.Break() {
			return errNoRoom
		}
		return nil
	})
}

// Device calls do with the device at that place. Nothing is given back until do returns.
func (m *Machine) Device(i int, do func(Device) error) error {
	m.mu.Lock()
	if m.state == Closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.work.Add(1)
	defer m.work.Done()
	m.mu.Unlock()
	return do(m.spec.Devices[i])
}

// whileRunning calls do with the hardware at hand: nil while the machine starts or
// restarts. do holds mu, and so must not wait.
func (m *Machine) whileRunning(do func(*hardware) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.state {
	case Closed:
		return ErrClosed
	case Running:
		return do(m.hardware)
	}
	return ErrNotRunning
}

// setState sets the state; mu is held.
func (m *Machine) setState(s State) {
	m.state = s
	m.notify()
}

// setHardware sets the hardware that calls from outside reach; mu is held.
func (m *Machine) setHardware(h *hardware) {
	m.hardware = h
	m.notify()
}

// notify wakes who waits for a change; mu is held.
func (m *Machine) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *Machine) release() {
	if m.serial != nil {
		m.serial.device.Close() // after a Start that failed
	}
	m.spec.closeDevices() // before the memory that they know
	if m.mem != nil {
		m.mem.Close()
	}
	m.spec.Close()
}
