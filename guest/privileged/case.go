// Package privileged is a corpus of small guests for what a processor does beyond a program's instructions: page
// walks, exceptions, gates, tasks, segments, returns. Each case runs some instructions at a ring and in a mode; the
// guest records every exception with the registers, and what has changed in the tables.
//
// Two processors are right, or wrong in the same way, where their records of a case are equal.
package privileged

// Mode is what code a case has.
type Mode uint8

// Modes.
const (
	Long   Mode = iota // 64-bit code
	Compat             // 32-bit code of a machine in long mode
	Legacy             // 32-bit protected mode without paging
)

// Case is some code and what surrounds it.
type Case struct {
	Name string
	Mode Mode
	Ring int
	// Setup are instructions in ring 0 of 64-bit mode, before the tables are loaded: they can change them.
	Setup string
	// Code is the case, which ends with an exception, or INT 0x80 at its end. Where r15 has an address, an exception
	// goes on there instead (in protected mode: ebp).
	Code string
	// Act is called for each exception in place of that: r10 has the address of the exception's frame, rdi that of
	// the registers rax, rcx, rdx, rbx, rbp, rsi, rdi, r8 to r15. The case goes on where it was if it returns another
	// eax than 0, which is what it does at its end.
	Act    string
	RFLAGS uint64
	// Want are the exceptions that come of it, as Result.Titles has them, where QEMU can't say.
	Want string
}

// Flags of cases in the guest.
const (
	flagLegacy = 1 << iota
	flagWant
)

func (c *Case) flags() (flags int) {
	if c.Mode == Legacy {
		flags |= flagLegacy
	}
	if c.Want != "" {
		flags |= flagWant
	}
	return flags
}

// alias is the distance of the mapping in which the case runs.
func (c *Case) alias() uint64 {
	if c.Ring == 3 && c.Mode != Legacy {
		return user
	}
	return 0
}

// segments are the code and stack segments.
func (c *Case) segments() (cs, ss uint16) {
	name := "CODE"
	if c.Mode != Long {
		name = "CODE32_"
	}
	ring, s := string(rune('0'+c.Ring)), selectors()
	return s[name+ring], s["DATA"+ring]
}

// Corpus are all cases.
func Corpus() (all []Case) {
	for _, part := range [][]Case{walkCases(), pageCases(), exceptionCases(), interruptCases(), returnCases(), segmentCases(), systemCases()} {
		all = append(all, part...)
	}
	return all
}
