// Package soft is an x86-64 processor in software: an interpreter, its memory management unit,
// exceptions and local APIC, behind the interfaces of package hypervisor.
package soft

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
)

// Numbers of general registers.
const (
	rax = iota
	rcx
	rdx
	rbx
	rsp
	rbp
	rsi
	rdi
)

// CPU is a processor's registers, and the memory that it reaches.
type CPU struct {
	// The general registers, and what an address has in place of one by its number in a decode.Inst:
	// decode.None, which is always 0, and decode.RIP.
	R   [16]uint64
	_   uint64
	RIP uint64

	flags flags
	bases [8]uint64 // of segments, by decode.Seg
	mode  decode.Mode
	cpl   uint8

	system
	mmu
	bus     io
	apic    *apic // nil: none
	units   units
	cpuid   []hypervisor.CPUID
	clock   clock
	entropy *rand.ChaCha8

	fault     Fault
	refused   bool          // the last fill met a fault
	retired   uint64        // instructions that were completed
	published atomic.Uint64 // retired, for other threads
	claims    claims
	world     *world // the machine's processors; nil: there is no machine
	// executes is held while instructions are executed. alone: no other processor executes any; wantsAlone:
	// the instruction is to be executed so.
	executes          sync.Mutex
	alone, wantsAlone bool
	pauses            uint32

	halted bool
	shadow bool // interrupts are held back for one instruction more: after STI, and MOV or POP to SS
	// shadowStack: the last instruction was MOV or POP to SS, after which breakpoints are held back too.
	shadowStack bool
	aligned     bool // accesses are checked for their alignment
	nmiBlocked  bool // from an NMI's delivery to the next IRET
	debug       debug
	ext         uint32 // bit EXT of error codes: the event that is delivered is no INT n
	delivering  bool   // an interrupt or exception: its frame does not go to devices
	missing     missing
	// unsupported names what the guest has done that ends the machine.
	unsupported string
	waits       bool          // for INIT and a start-up IPI
	resets      atomic.Bool   // INIT has come
	starts      atomic.Uint32 // a start-up IPI's vector, and 0x100
	attend      atomic.Bool   // there is something to poll for before the next instruction
	kicked      atomic.Bool
	nmi         atomic.Bool
	ended       atomic.Uint32 // a vector of whose end the machine is to be notified, and 0x100
	woken       chan struct{}
}

// newCPU makes a processor over RAM. It is the store's owner.
func newCPU(ram RAM, shared *codeMap, store *codeStore) *CPU {
	c := &CPU{woken: make(chan struct{}, 1), entropy: newEntropy(false)}
	c.mmu.ram = ram
	c.code.shared, c.code.codeStore = shared, store
	c.code.forget()
	c.flushTLB(true)
	c.setMode()
	return c
}

// Fault is an exception that an instruction has raised.
type Fault struct {
	Vector uint8
	Code   uint32 // the error code, where the vector has one
	Addr   uint64 // of a page fault: CR2
}

// Vectors of exceptions.
const (
	vectorDE  = 0
	vectorDB  = 1
	vectorNMI = 2
	vectorBP  = 3
	vectorOF  = 4
	vectorBR  = 5
	vectorUD  = 6
	vectorNM  = 7
	vectorDF  = 8
	vectorTS  = 10
	vectorNP  = 11
	vectorSS  = 12
	vectorGP  = 13
	vectorPF  = 14
	vectorMF  = 16
	vectorAC  = 17
	vectorXM  = 19
)

// status is what comes after an instruction.
type status uint8

const (
	next    status = iota // the instruction after it
	skip                  // the one after that, which has been executed too
	branch                // RIP is set, and is always the same for this instruction at this address
	jumped                // RIP is set
	faulted               // c.fault is set
	exits                 // the machine is to do something before it goes on
)

// raise is an exception without an error code, or with 0.
func (c *CPU) raise(vector uint8) status { return c.raiseCode(vector, 0) }

func (c *CPU) raiseCode(vector uint8, code uint32) status {
	c.fault = Fault{Vector: vector, Code: code}
	return faulted
}

// uop is an instruction that is ready to be executed.
type uop struct {
	do   exec
	disp uint64 // of the memory operand: sign-extended, and with Len where it is by RIP
	to   *uop   // of a branch within its page, where it has been found
	decode.Inst
	d, s      decode.Reg // for a handler of fast.go: the register that is written, or read
	form      uint8      // of a CMP or TEST that has a handler of fast.go, and its size; see pair
	condition uint8      // of the branch that follows, which the handler executes as well
	thunk     uint32     // for runXMM: where its code is; 0: there is none yet
}

const uopBytes = unsafe.Sizeof(uop{})

// after is the nth one after u in the same run.
func (u *uop) after(n uintptr) *uop { return (*uop)(unsafe.Add(unsafe.Pointer(u), n*uopBytes)) }

// faultOf is the exception of what can't be decoded.
func faultOf(err error) Fault {
	if err == decode.ErrTooLong {
		return Fault{Vector: vectorGP}
	}
	return Fault{Vector: vectorUD}
}

func newUop(in decode.Inst, mode decode.Mode) uop {
	u := uop{Inst: in, disp: uint64(int64(in.Disp))}
	if in.Base == decode.RIP {
		u.disp += uint64(in.Len)
	}
	if mode == decode.Mode64 {
		fast(&u)
	}
	if u.do == nil {
		u.do = handler(&u.Inst)
	}
	if u.do == nil {
		u.do = undefined
	}
	return u
}

// undefined is an instruction that is not there.
func undefined(c *CPU, _ *uop) status { return c.raise(vectorUD) }
