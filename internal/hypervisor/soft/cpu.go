// Package soft is an x86-64 processor in software: an interpreter, its memory management unit,
// exceptions and local APIC, behind the interfaces of package hypervisor.
package soft

import (
	"sync/atomic"

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
	R     [16]uint64
	RIP   uint64
	flags flags
	bases [6]uint64 // of segments, by decode.Seg
	mode  decode.Mode
	cpl   uint8

	system
	mmu
	bus   io
	apic  *apic // nil: none
	units units
	cpuid []hypervisor.CPUID
	clock clock

	fault  Fault
	halted bool
	shadow bool        // interrupts are held back for one instruction more: after STI, and MOV or POP to SS
	waits  bool        // for INIT and a start-up IPI
	attend atomic.Bool // something is to be looked at before the next instruction
	kicked atomic.Bool
	nmi    atomic.Bool
	ended  atomic.Uint32 // a vector whose end is to be told, and 0x100
	woken  chan struct{}
}

// Fault is an exception that an instruction has raised.
type Fault struct {
	Vector uint8
	Code   uint32 // the error code, where the vector has one
	Addr   uint64 // of a page fault: CR2
}

// Vectors of exceptions.
const (
	vectorDE = 0
	vectorDB = 1
	vectorBP = 3
	vectorUD = 6
	vectorNM = 7
	vectorDF = 8
	vectorTS = 10
	vectorNP = 11
	vectorSS = 12
	vectorGP = 13
	vectorPF = 14
)

// status is what comes after an instruction.
type status uint8

const (
	next    status = iota // the instruction behind it
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
	decode.Inst
	do func(c *CPU, u *uop) status
}

// faultOf is the exception of what can't be decoded.
func faultOf(err error) Fault {
	if err == decode.ErrTooLong {
		return Fault{Vector: vectorGP}
	}
	return Fault{Vector: vectorUD}
}

func newUop(in decode.Inst) uop {
	u := uop{Inst: in}
	if u.do = handler(&u.Inst); u.do == nil {
		u.do = undefined
	}
	return u
}

// undefined is an instruction that is not there.
func undefined(c *CPU, _ *uop) status { return c.raise(vectorUD) }
