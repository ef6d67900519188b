// Package compute holds the compute guest: ten small computations that measure how fast a processor in software executes
// instructions, and how many those are.
//
// The guest is a PVH ELF that any monitor can boot. It runs at CPL 0 in 64-bit mode, with SSE2, the first 32 MiB mapped by
// pages of 4 KiB, and interrupts off. Its command line names the computations, "hash=6000000 fib=30,2" (hash of 6000000,
// then fib of 30 twice); on COM1 it prints "begin=NAME" before each and "result=NAME value=HEX ticks=N" after it, with the
// ticks of the time stamp counter. Its last line is "done=1".
package compute

import (
	_ "embed"
	"fmt"
)

// ELF is the guest, built from src by the Makefile in this directory. It needs 32 MiB of RAM from address 0.
//
//go:embed compute.elf
var ELF []byte

// A Computation is one that the guest knows.
type Computation struct {
	Name  string
	N     uint64 // how much of it, as the guest takes it
	Value uint64 // the result for N
	// Instructions is how many are executed for N. QEMU has counted them with -icount; a repetition is a string
	// instruction's only.
	Instructions uint64
	Integer      bool // with general registers only
}

// Order is the argument of the command line for so many times of it.
func (c Computation) Order(times int) string { return fmt.Sprintf("%s=%d,%d", c.Name, c.N, times) }

// All are the computations.
var All = []Computation{
	{"sieve", 60, 0x198e, 90778104, true},
	{"hash", 6_000_000, 0xc014bbc1cbee0681, 104999770, true},
	{"chase", 4_000_000, 0x1e82a0071, 16000024, true},
	{"chase-big", 1_000_000, 0xf41bfcc9e, 4000024, true},
	{"copy", 800, 0x9c0e0, 39327223, true},
	{"sort", 120, 0x177bf95f637a9, 72280894, true},
	{"fib", 30, 0xcb228, 37695532, true},
	{"indirect", 2_000_000, 0x4e14d6eae2ab8461, 28501010, true},
	{"sse", 2400, 0x12bf6a0000, 68822427, false},
	{"scalar", 3_000_000, 0x2625a00, 60120035, false},
}
