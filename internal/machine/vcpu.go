package machine

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/timeline"
)

// vcpu is one virtual CPU and what its exits lead to.
type vcpu struct {
	id   int
	proc hypervisor.Processor

	spec   *Spec
	mem    *memory.Map
	ports  *bus.Bus
	mmio   *bus.Bus
	ioapic *ioapic.Device
	late   *lateMemory
	gate   *gate
	signs  *signs
	// settled, where time is that of instructions, tells whether the devices have done what the last write has asked for.
	settled func() bool
	stop    *atomic.Bool // set when the machine has ended

	partial bool // the guest's memory was not complete when it was entered last

	exits    [hypervisor.NumExitKinds]atomic.Uint64
	total    atomic.Uint64
	answered atomic.Uint64               // of total; one less while an exit is being handled
	ask      atomic.Pointer[chan sample] // where the supervisor waits for a sample; nil: it does not
}

// run runs the guest until the machine has ended, and returns nil then, or how the
// machine ends by this vCPU. The goroutine keeps its thread: KVM binds a vCPU to the
// thread that last ran it.
func (c *vcpu) run(ready <-chan struct{}, entry *hypervisor.State) (end *ending) {
	runtime.LockOSThread()
	// A page of a mapped file that was cut short raises SIGBUS where the monitor
	// touches it: an end of this machine, not of the process.
	debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				end = failure(broken(fmt.Sprintf("running vCPU %d", c.id), r))
				return
			}
			end = c.spec.memoryLost(fmt.Sprintf("the monitor could not read guest memory at host address %#x", fault.Addr()))
		}
	}()
	leaves, err := c.spec.Host.CPUID() // while the machine is still being made
	if <-ready; c.stop.Load() {
		return nil
	}
	if err == nil && c.spec.Confinement != nil {
		err = c.spec.Confinement.Thread()
	}
	if err == nil {
		err = c.prepare(leaves, entry)
	}
	if err != nil {
		return failure(fmt.Errorf("vCPU %d: %w", c.id, err))
	}
	if c.id == 0 {
		c.spec.Timeline.Mark(timeline.GuestEntered)
	}
	return c.loop()
}

func (c *vcpu) loop() *ending {
	var e hypervisor.Exit
	for !c.stop.Load() {
		c.partial = c.late.pending.Load()
		if err := c.proc.Run(&e); err != nil {
			if c.partial && errors.Is(err, unix.EFAULT) { // a write to what was only mapped
				if end := c.late.complete(); end != nil {
					return end
				}
				continue
			}
			return c.lost(err)
		}
		// Only this goroutine writes the counters: no locked instruction needed.
		c.exits[e.Kind].Store(c.exits[e.Kind].Load() + 1)
		n := c.total.Load() + 1
		c.total.Store(n)
		end := c.handle(&e)
		if c.settled != nil && (e.Kind == hypervisor.ExitMMIOWrite || e.Kind == hypervisor.ExitPortOut) {
			c.settle()
		}
		c.answered.Store(n)
		if end != nil {
			return end
		}
	}
	return nil
}

// settle waits for the devices, while no time passes for the guest.
func (c *vcpu) settle() {
	for wait := time.Microsecond; !c.settled() && !c.stop.Load(); wait = min(2*wait, 50*time.Microsecond) {
		time.Sleep(wait)
	}
}

// handle answers an exit; not nil: the machine ends by it.
func (c *vcpu) handle(e *hypervisor.Exit) *ending {
	switch e.Kind {
	case hypervisor.ExitPortOut:
		for d := e.Data; len(d) >= e.Size && len(d) > 0; d = d[e.Size:] {
			c.ports.Write(e.Addr, d[:e.Size])
		}
	case hypervisor.ExitPortIn:
		for d := e.Data; len(d) >= e.Size && len(d) > 0; d = d[e.Size:] {
			c.ports.Read(e.Addr, d[:e.Size])
		}
	case hypervisor.ExitMMIORead, hypervisor.ExitMMIOWrite:
		return c.access(e)
	case hypervisor.ExitEOI:
		c.ioapic.EOI(e.Vector)
	case hypervisor.ExitKicked:
		c.kicked()
	case hypervisor.ExitHalt:
		return &ending{Outcome: Outcome{Reason: Halted}}
	case hypervisor.ExitShutdown:
		return &ending{Outcome: c.crashed()}
	case hypervisor.ExitFailEntry:
		return &ending{Outcome: Outcome{Reason: FailedEntry, Detail: e.Detail + "\n" + c.report()}}
	default:
		if c.partial { // perhaps an instruction on memory that was not there: it is tried again
			return c.late.complete()
		}
		return &ending{Outcome: Outcome{Reason: InternalError, Detail: e.Detail + "\n" + c.report()}}
	}
	return nil
}

// access answers an access to a device or, where there is none, to RAM that is not
// attached yet or that KVM could not read. Devices first: no device lies in RAM,
// and searching for RAM in vain allocates.
func (c *vcpu) access(e *hypervisor.Exit) *ending {
	if end := c.late.complete(); end != nil { // a driver at work: its devices may write to all of RAM soon
		return end
	}
	write := e.Kind == hypervisor.ExitMMIOWrite
	if write && c.mmio.Write(e.Addr, e.Data) || !write && c.mmio.Read(e.Addr, e.Data) {
		return nil
	}
	mem, err := c.mem.Slice(memory.Addr(e.Addr), uint64(len(e.Data)))
	if err != nil {
		return nil // nothing is there: a read has got all ones
	}
	if write {
		copy(mem, e.Data)
	} else {
		copy(e.Data, mem)
	}
	return nil
}

// kicked answers the supervisor, and waits while the machine is paused.
func (c *vcpu) kicked() {
	if to := c.ask.Swap(nil); to != nil {
		*to <- c.observe() // has room
	}
	if c.gate.pass() {
		c.proc.WasPaused()
	}
}

// handling tells whether the vCPU has left the guest and its exit is being handled.
func (c *vcpu) handling() bool { return c.answered.Load() != c.total.Load() }

// lost is the end by a Run that failed on the host's side. EFAULT is KVM that cannot
// reach guest memory.
func (c *vcpu) lost(err error) *ending {
	if errors.Is(err, unix.EFAULT) && c.spec.changedFile(true) != nil {
		return c.spec.memoryLost(err.Error())
	}
	return failure(fmt.Errorf("vCPU %d: %w\n%s", c.id, err, c.report()))
}
