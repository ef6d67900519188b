// Package hypervisor is what a machine needs of a processor, and no more: registers,
// CPUID, run, kick, interrupts. Package hypervisor/kvm implements it on KVM; a processor in
// software can implement the same interfaces, and no device notices.
package hypervisor

import (
	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// Host makes machines: one kind of processor on this computer.
type Host interface {
	// MaxProcessors is the most vCPUs that one machine can have.
	MaxProcessors() int
	// NewMachine makes an empty machine over the RAM of m.
	NewMachine(m *memory.Map, o Options) (Machine, error)
	// CPUID is what this host offers a guest, before topology is filled in. The
	// list is the caller's to read, not to change.
	CPUID() ([]CPUID, error)
	// CanPrefault reports whether Processor.Prefault can do something. It asks the
	// host, once.
	CanPrefault() bool
	// Describe names the host for people, with its limits: "kvm_amd".
	Describe() string
	Close() error
}

// Options say what a machine will have.
type Options struct {
	Processors int
	// Eager is how much RAM, from address 0, the processors must reach at once: all
	// that is mapped before the start. The rest comes with AttachRest.
	Eager uint64
	// IOAPICPins is how many pins the machine's I/O APIC has: their
	// level-triggered interrupts come back as ExitEOI.
	IOAPICPins int
	// PMU has the processors count events; else they have no counters, where the host can take them away.
	PMU bool
	// Counted has time be that of the instructions that the one processor has executed. Only the software processor can.
	Counted bool
}

// Machine is a set of processors that share RAM and an interrupt fabric.
type Machine interface {
	bus.Fabric
	// NewProcessor makes processor id (its APIC id). Processor 0 starts where its
	// registers say; the others wait for INIT and a start-up IPI.
	NewProcessor(id int) (Processor, error)
	// RouteLevel configures which pins are level triggered, so that
	// the end of such an interrupt is reported. The list replaces the last one.
	RouteLevel(routes []LevelRoute) error
	// Show has processors read page, whole pages of this process, at addr, without
	// an exit once AttachRest has returned; until then, and where it says false,
	// these reads are exits as the writes there always are. page stays where it is
	// as long as the machine.
	Show(addr uint64, page []byte) bool
	// Partial reports whether there is RAM or a page that AttachRest has yet to make reachable.
	Partial() bool
	// AttachRest makes the RAM above Options.Eager reachable, and what Show was
	// given. It may run beside the
	// guest: until it returns, accesses up there are MMIO exits.
	AttachRest() error
	Close() error
}

// LevelRoute is a level-triggered pin of the I/O APIC and the message it sends.
type LevelRoute struct {
	Pin int
	MSI bus.MSI
}

// Processor is one virtual CPU. All methods but Kick belong to the thread that
// runs it.
type Processor interface {
	// Run enters the guest until something needs the machine, and describes it in
	// e. The error is the host's own failure.
	Run(e *Exit) error
	// Kick makes a Run that is under way, or else the next one, return with
	// ExitKicked. For any goroutine.
	Kick()

	State() (State, error)
	SetState(*State) error
	SetCPUID([]CPUID) error
	// SetMSR writes model-specific registers in order.
	SetMSRs([]MSR) error
	// TSCKHz is the frequency of the guest's time-stamp counter.
	TSCKHz() (int, error)
	// Activity is what the processor does.
	Activity() (Activity, error)
	// WasPaused notifies the guest, where it supports that, that it was stopped on purpose.
	WasPaused()
	// Translate is a guest-virtual address by the current page tables.
	Translate(virtual uint64) (memory.Addr, bool)
	// Prefault fills the second-level page tables of a range without an exit for
	// each page, where the host can; elsewhere it does nothing and says false.
	Prefault(addr memory.Addr, size uint64) bool
	Close() error
}

// Software is a Processor that executes each instruction by itself, and has not all that real processors have.
type Software interface {
	// Instructions is how many were completed. For any goroutine, which is told a little late.
	Instructions() uint64
	// Unimplemented is how often the guest has executed which of them, by encoding and
	// name: "0F 01 D0 (XGETBV)". Each was an invalid-opcode exception. For any goroutine.
	Unimplemented() map[string]uint64
}

// Activity is what a processor does.
type Activity uint8

// Activities.
const (
	Running Activity = iota
	Idle             // halted until an interrupt comes
	Stalled          // until an NMI or a reset: halted with interrupts off, or waiting for INIT or a start-up IPI
)

// CPUID is one leaf as the guest sees it. Indexed: it holds for Index (ECX)
// alone.
type CPUID struct {
	Leaf, Index        uint32
	Indexed            bool
	EAX, EBX, ECX, EDX uint32
}

// MSR is a model-specific register's value.
type MSR struct {
	Index uint32
	Value uint64
}

// State is what of a processor's registers a machine sets at a start and shows
// in a report.
type State struct {
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
	CR0, CR2, CR3, CR4, EFER               uint64
	CS, DS, ES, FS, GS, SS, TR, LDT        pvh.Segment
	GDT, IDT                               Table
}

// Table is GDTR or IDTR.
type Table struct {
	Base  uint64
	Limit uint16
}

// ExitKind is why a processor left the guest.
type ExitKind uint8

// The kinds of exit. Their String names are those of timelines and reports.
const (
	ExitPortIn ExitKind = iota
	ExitPortOut
	ExitMMIORead
	ExitMMIOWrite
	ExitEOI
	ExitHalt
	ExitKicked
	ExitShutdown
	ExitInternalError
	ExitFailEntry
	ExitOther
	NumExitKinds
)

var exitNames = [NumExitKinds]string{"port in", "port out", "mmio read", "mmio write", "eoi", "halt", "kick", "shutdown", "internal error", "fail entry", "other"}

// String is the kind's name.
func (k ExitKind) String() string {
	if k < NumExitKinds {
		return exitNames[k]
	}
	return "unknown"
}

// Exit describes one return from the guest. It is filled anew by each Run.
type Exit struct {
	Kind ExitKind
	// Addr is the port or the guest-physical address.
	Addr uint64
	// Size is the width of one access in bytes; Data holds one or (string
	// instructions) several. It aliases the processor's own memory: an answer is
	// written into it before the next Run.
	Size int
	Data []byte
	// Vector is that of an ExitEOI.
	Vector uint8
	// Detail says more about a failure, for people.
	Detail string
}
