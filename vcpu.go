package mayfly

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/timeline"
)

// vcpu is one processor and the goroutine that runs it.
type vcpu struct {
	board *board
	id    int
	proc  hypervisor.Processor

	partial bool // the guest's memory was not complete when it was entered last

	exits    [hypervisor.NumExitKinds]atomic.Uint64
	total    atomic.Uint64
	answered atomic.Uint64               // of total; one less while an exit is being handled
	ask      atomic.Pointer[chan sample] // where the supervisor waits for a sample; nil: it does not
}

// run is the processor's life. The goroutine keeps its thread: KVM binds a vCPU
// to the thread that last ran it.
func (c *vcpu) run() {
	runtime.LockOSThread()
	defer c.board.running.Done()
	// A page of a mapped file that was cut short raises SIGBUS where the monitor
	// touches it: an end of this machine, not of the process.
	debug.SetPanicOnFault(true)
	defer func() {
		if r := recover(); r != nil {
			fault, ok := r.(interface{ Addr() uintptr })
			if !ok {
				c.board.fail(broken(fmt.Sprintf("running processor %d", c.id), r))
				return
			}
			c.board.memoryLost(fmt.Sprintf("the monitor could not read guest memory at host address %#x", fault.Addr()))
		}
	}()
	leaves, err := c.board.vm.host.CPUID()
	if <-c.board.ready; c.board.stop.Load() {
		return
	}
	if err == nil {
		err = c.prepare(leaves)
	}
	if err != nil {
		c.board.fail(fmt.Errorf("processor %d: %w", c.id, err))
		return
	}
	if c.id == 0 {
		c.board.vm.cfg.Timeline.Mark(timeline.GuestEntered)
	}
	var e hypervisor.Exit
	for !c.board.stop.Load() {
		c.partial = c.board.partial.Load()
		if err := c.proc.Run(&e); err != nil {
			if c.partial && errors.Is(err, unix.EFAULT) { // a write to what was only mapped
				c.board.complete()
				continue
			}
			c.lost(err)
			return
		}
		// Only this goroutine writes the counters: no locked instruction needed.
		c.exits[e.Kind].Store(c.exits[e.Kind].Load() + 1)
		n := c.total.Load() + 1
		c.total.Store(n)
		c.handle(&e)
		c.answered.Store(n)
	}
}

func (c *vcpu) handle(e *hypervisor.Exit) {
	b := c.board
	switch e.Kind {
	case hypervisor.ExitPortOut:
		for d := e.Data; len(d) >= e.Size && len(d) > 0; d = d[e.Size:] {
			b.ports.Write(e.Addr, d[:e.Size])
		}
	case hypervisor.ExitPortIn:
		for d := e.Data; len(d) >= e.Size && len(d) > 0; d = d[e.Size:] {
			b.ports.Read(e.Addr, d[:e.Size])
		}
	case hypervisor.ExitMMIORead, hypervisor.ExitMMIOWrite:
		c.mmio(e)
	case hypervisor.ExitEOI:
		b.ioapic.EOI(e.Vector)
	case hypervisor.ExitKicked:
		c.kicked()
	case hypervisor.ExitHalt:
		b.end(Outcome{Reason: Halted})
	case hypervisor.ExitShutdown:
		b.end(b.crashed(c))
	case hypervisor.ExitFailEntry:
		b.end(Outcome{Reason: FailedEntry, Detail: e.Detail + "\n" + c.report()})
	default:
		if c.partial { // perhaps an instruction on memory that was not there: it is tried again
			b.complete()
			return
		}
		b.end(Outcome{Reason: InternalError, Detail: e.Detail + "\n" + c.report()})
	}
}

// mmio answers an access to a device or, where there is none, to RAM that is not
// attached yet or that KVM could not read. Devices first: no device lies in RAM,
// and looking for RAM in vain allocates.
func (c *vcpu) mmio(e *hypervisor.Exit) {
	b := c.board
	b.complete() // a driver at work: its devices may write to all of RAM soon
	write := e.Kind == hypervisor.ExitMMIOWrite
	if write && b.mmio.Write(e.Addr, e.Data) || !write && b.mmio.Read(e.Addr, e.Data) {
		return
	}
	mem, err := b.mem.Slice(memory.Addr(e.Addr), uint64(len(e.Data)))
	if err != nil {
		return // nobody: a read has got all ones
	}
	if write {
		copy(mem, e.Data)
	} else {
		copy(e.Data, mem)
	}
}

// kicked answers the supervisor, and waits while the machine is paused.
func (c *vcpu) kicked() {
	if to := c.ask.Swap(nil); to != nil {
		*to <- c.observe() // has room
	}
	c.board.waitAtGate(c)
}

// lost ends the machine after a Run that failed on the host's side. EFAULT is
// KVM that cannot reach guest memory.
func (c *vcpu) lost(err error) {
	if errors.Is(err, unix.EFAULT) && c.board.vm.changedFile(true) != nil {
		c.board.memoryLost(err.Error())
		return
	}
	c.board.fail(fmt.Errorf("processor %d: %w\n%s", c.id, err, c.report()))
}
