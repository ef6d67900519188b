package mayfly

import "github.com/mayfly-vm/mayfly/internal/machine"

// State is what a machine does.
type State string

// States of a machine.
const (
	StateNew     = State(machine.New)     // not started yet, or by a Start that failed
	StateRunning = State(machine.Running) // from the call of Start on
	StatePaused  = State(machine.Paused)  // running, after Pause
	StateEnded   = State(machine.Ended)   // Wait returns
	StateClosed  = State(machine.Closed)
)

// Reason is why a machine ended, in words.
type Reason string

// The ends a machine can come to.
const (
	PowerOff      = Reason(machine.PowerOff)      // the guest switched the machine off
	Halted        = Reason(machine.Halted)        // every vCPU stopped for good
	Rebooted      = Reason(machine.Rebooted)      // the guest asked for a reset, under RebootExit
	Panicked      = Reason(machine.Panicked)      // the guest's kernel panicked
	TripleFault   = Reason(machine.TripleFault)   // the guest crashed: a vCPU shut down
	InternalError = Reason(machine.InternalError) // KVM or the software processor could not go on running the guest
	FailedEntry   = Reason(machine.FailedEntry)   // the hardware refused the guest's state
	ImageChanged  = Reason(machine.ImageChanged)  // a file of the guest was changed in place: under it, or before a restart
	Killed        = Reason(machine.Killed)        // Kill, Close, or the end of Start's context
	HostError     = Reason(machine.HostError)     // the host failed; Wait's error says how
	Hung          = Reason(machine.Hung)          // the guest fell silent, under WatchdogExit
)

// Outcome is how a machine ended.
type Outcome struct {
	Reason Reason
	// Detail says more, for people: one line or, about crashes, several with the
	// vCPU's registers.
	Detail string
	// Restarts is how often the guest rebooted in place before.
	Restarts int
	// Lost is how many bytes of the guest's output went nowhere, of the serial port and
	// of the virtio console's ports that have a File or an Out: the output failed, took
	// nothing for seconds, or not all before a killed machine ended, or reached its
	// limit.
	Lost uint64
	// LostCause is why, or nil. It may be set with Lost 0, where a file system reports only
	// at the end that something was not written.
	LostCause error
	// Processor is what ran the guest, for people: "kvm_intel", "the software processor".
	Processor string
	// Confinement is that of Stats.
	Confinement []string
}

func (vm *VM) outcomeOf(o machine.Outcome) Outcome {
	return Outcome{Reason: Reason(o.Reason), Detail: o.Detail, Restarts: o.Restarts, Lost: o.Lost, LostCause: o.LostCause, Processor: vm.processor, Confinement: vm.confined()}
}
