package soft_test

import (
	"regexp"
	"strings"

	"github.com/mayfly-vm/mayfly/guest/privileged"
)

// rule is something that QEMU's processor does otherwise than the manual says. The manual is the Intel SDM, its
// volume 3 where no other is named.
type rule struct {
	what, manual string
	// correct makes what QEMU has recorded what the manual says, and reports whether there was something to correct.
	// What the processor in software has done is there to find values that the manual leaves open.
	correct func(c *privileged.Case, qemu, soft *privileged.Result) bool
	used    bool
}

type ruleList []*rule

func (l ruleList) correct(c *privileged.Case, qemu, soft *privileged.Result) {
	for _, r := range l {
		if r.correct(c, qemu, soft) {
			r.used = true
		}
	}
}

// each corrects one event after the other.
func each(f func(e *privileged.Event) bool) func(*privileged.Case, *privileged.Result, *privileged.Result) bool {
	return func(_ *privileged.Case, qemu, _ *privileged.Result) (found bool) {
		for i := range qemu.Events {
			if f(&qemu.Events[i]) {
				found = true
			}
		}
		return found
	}
}

// pair corrects each event with the knowledge of what the software processor has.
func pair(f func(qemu, soft *privileged.Event) bool) func(*privileged.Case, *privileged.Result, *privileged.Result) bool {
	return func(_ *privileged.Case, qemu, soft *privileged.Result) (found bool) {
		for i := range min(len(qemu.Events), len(soft.Events)) {
			if f(&qemu.Events[i], &soft.Events[i]) {
				found = true
			}
		}
		return found
	}
}

const (
	flagRF = 1 << 16

	faultPresent  = 1
	faultReserved = 8
)

// rules are what it does so in all cases.
var rules = ruleList{
	{what: "the flags in a fault's frame have no RF", manual: "17.3.1.1", correct: each(func(e *privileged.Event) bool {
		switch e.Vector {
		case 8, 10, 11, 12, 13, 14, 17:
			if !e.HasCode && !e.Legacy {
				return false // INT n
			}
			fallthrough
		case 0, 5, 6, 7, 16, 19:
			e.Set("rflags", e.Get("rflags")|flagRF)
			return true
		}
		return false
	})},
	{what: "the error code of a reserved bit says that the page is not present", manual: "4.7", correct: each(func(e *privileged.Event) bool {
		code := e.Get("code")
		if e.Vector != 14 || code&(faultReserved|faultPresent) != faultReserved {
			return false
		}
		e.Set("code", code|faultPresent)
		return true
	})},
	{what: "a handler on an IST stack has a null SS without a change of privilege", manual: "6.14.4", correct: each(func(e *privileged.Event) bool {
		ss := e.Get("ss")
		if e.Get("cs")&3 != e.Get("handler.cs")&3 || e.Get("handler.ss") != e.Get("cs")&3 || ss == e.Get("handler.ss") {
			return false
		}
		e.Set("handler.ss", ss)
		return true
	})},
	{what: "the error code of a gate that can't be used has 16 times the vector", manual: "6.13", correct: pair(func(qemu, soft *privileged.Event) bool {
		code := qemu.Get("code")
		should := code&3 | code>>4<<3
		if qemu.Vector != 13 && qemu.Vector != 11 || code&2 == 0 || !qemu.HasCode || soft.Get("code")&^1 != should&^1 {
			return false
		}
		qemu.Set("code", should)
		return true
	})},
	{what: "the error code of a fault in an exception's delivery has no EXT bit", manual: "6.13", correct: func(c *privileged.Case, qemu, soft *privileged.Result) bool {
		return !softwareInterrupts.MatchString(c.Name) && pair(func(qemu, soft *privileged.Event) bool {
			code := qemu.Get("code")
			if qemu.Vector < 10 || qemu.Vector > 13 || code&1 != 0 || soft.Get("code") != code|1 || !soft.HasCode && !soft.Legacy {
				return false
			}
			qemu.Set("code", code|1)
			return true
		})(c, qemu, soft)
	}},
	{what: "the stack of a return from ring 3 is read as the system's", manual: "4.7", correct: func(c *privileged.Case, qemu, soft *privileged.Result) bool {
		return returnsFrom3.MatchString(c.Name) && c.Ring == 3 && pair(func(qemu, soft *privileged.Event) bool {
			if qemu.Vector != 14 || soft.Get("code") != qemu.Get("code")|4 {
				return false
			}
			qemu.Set("code", qemu.Get("code")|4)
			return true
		})(c, qemu, soft)
	}},
	{what: "open: when an NMI of the local APIC's own comes", manual: "10.8.1", correct: func(c *privileged.Case, qemu, soft *privileged.Result) bool {
		return strings.HasPrefix(c.Name, "interrupt: NMI") && pair(func(qemu, soft *privileged.Event) bool {
			if qemu.Vector == 0x80 {
				return false
			}
			for _, name := range []string{"rip", "rflags", "handler.flags"} {
				qemu.Set(name, soft.Get(name))
			}
			return true
		})(c, qemu, soft)
	}},
	{what: "open: the upper halves of registers after 32-bit code", manual: "volume 1, 3.4.1.1", correct: func(c *privileged.Case, qemu, soft *privileged.Result) bool {
		return c.Mode == privileged.Compat && pair(func(qemu, soft *privileged.Event) (found bool) {
			for _, name := range []string{"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp"} {
				q, s := qemu.Get(name), soft.Get(name)
				if q != s && uint32(q) == uint32(s) {
					qemu.Set(name, s)
					found = true
				}
			}
			return found
		})(c, qemu, soft)
	}},
	{what: "the entry of a page of 1 GiB is marked as accessed by an access that is a fault", manual: "4.8", correct: hugeAccessed},
}

// softwareInterrupts are cases that use INT n or INT3, in whose delivery EXT is 0; returnsFrom3 those that use IRET or RETF.
var (
	softwareInterrupts = regexp.MustCompile(`^gate: |gate of int3|after (INT|#BP)|: stack of ring 0 |int 0x`)
	returnsFrom3       = regexp.MustCompile(`iret|retf`)
)

// hugeAccessed takes the accessed bit from the entry of the 1 GiB page, where only QEMU has it.
func hugeAccessed(_ *privileged.Case, qemu, soft *privileged.Result) bool {
	const entry, accessed = privileged.HugeEntry, 1 << 5
	if len(qemu.Events) == 0 || qemu.Events[0].Vector != 14 {
		return false
	}
	value := func(r *privileged.Result) *privileged.Change {
		for i := range r.Changes {
			if r.Changes[i].Addr == entry {
				return &r.Changes[i]
			}
		}
		return nil
	}
	q, s := value(qemu), value(soft)
	switch {
	case q == nil || q.Value&accessed == 0 || s != nil && s.Value&accessed != 0:
		return false
	case s == nil:
		qemu.Drop(entry)
	default:
		q.Value &^= accessed
	}
	return true
}

// known is something that QEMU's processor does otherwise than the manual says in some cases.
type known struct {
	what, manual string
	cases, lines *regexp.Regexp // of the cases' names, and of what Differences says: QEMU's, and ours after "|"
	used         bool
}

func deviation(what, manual, cases, lines string) *known {
	return &known{what: what, manual: manual, cases: regexp.MustCompile(`^(` + cases + `)`), lines: regexp.MustCompile(`^(` + lines + `)$`)}
}

// deviations are what it does so in some cases. What is open in the manual, or in time, says so.
var deviations = []*known{
	deviation("segments' limits and rights are not checked", "5.3 and 5.5", `limit: |alignment: limits`, `(end|#DE|#PF\(0x[0-7]\)) \| #GP(\(0x0\))?`),
	deviation("the limit of the stack segment is not checked", "5.3", `limit of the stack: `, `(end|shutdown) \| #SS(\(0x0\))?( end)?`),
	deviation("the limit of the code segment is not checked", "5.3", `limit of code|(iretq|retfq|call far|compat (call far|iretd|retf)|legacy iretd).* to (CODELIMITED3|CODE16_0)|iretq to the upper half`, `(end|#PF\(0x14\)|#GP\(0x1[38][08]\)) \| #GP(\(0x0\))?`),
	deviation("alignment is not checked", "6.15, interrupt 17", `alignment: `, `end \| #AC\(0x0\)`),
	deviation("an address of the stack that is not canonical is #GP", "6.15, interrupt 12", `not canonical: `, `#GP\(0x0\) \| #SS\(0x0\)`),
	deviation("a branch to an address that is not canonical goes there first", "volume 2, CALL, RET, JMP, IRET", `not canonical: call|walk: read-only, call|second page: (ret|jmp)|(iretq|retf) to a RIP`,
		`(shutdown|#PF\(0x6\)) \| #GP\(0x0\)|#GP\(0x0\): (rip|rsp|cs|ss|handler.rsp|handler.ss) .*`),
	deviation("a gate to an address that is not canonical goes there first", "volume 2, INT n", `gate: not canonical`, `#GP\(0x0\): (rip|rsp|cs|ss|rflags|handler.rsp|handler.ss) .*`),
	deviation("SYSRET and SYSEXIT to an address that is not canonical go there first", "volume 2, SYSRET, SYSEXIT", `sys(retq|exit) .*not canonical`, `#GP\(0x0\): (rip|rflags|rsp|cs|ss|handler.rsp|handler.ss|handler.flags) .*`),
	deviation("XCHG, CMPXCHG8B and CMPXCHG16B read before they ask for write access", "volume 2, XCHG; 8.1.2.1", `walk: .*(xchg|cmpxchg)|second page: cmpxchg16b`, `#PF\(0x([45])\)( end)? \| #PF\(0x[67]\)( end)?|\[TPT\+0x0\] 0x40d025 \| 0x40d005`),
	deviation("CLFLUSH uses no page", "volume 2, CLFLUSH", `walk: .*clflush`, `end \| #PF\(0x[45]\)|\[TPT\+0x0\] 0x40d005 \| 0x40d025|\[\w+\+0x[08]\] unchanged \| 0x40[567]027`),
	deviation("LDMXCSR takes reserved bits", "volume 2, LDMXCSR", `walk: .*ldmxcsr`, `end \| #GP\(0x0\)`),
	deviation("ENTER does not probe the new top of the stack", "volume 2, ENTER", `second page.*enter`, `\[TPT\+0x0\] unchanged \| 0x40d067`),
	deviation("PUSHA writes its lowest word first", "volume 2, PUSHA", `second page, compat: pusha`, `(end|#PF\(0x6\)): cr2 0x80001000 \| 0x8000100c`),
	deviation("POPA that faults has changed registers", "6.6", `second page, compat: popa`, `#PF\(0x4\): r(bp|si|di) .*`),
	deviation("LOCK before a load is no fault", "volume 2, LOCK", `exception: #UD by lock of a load`, `(#GP\(0x0\)|end) \| #UD`),
	deviation("INT1 is #UD", "volume 2, INT1", `exception: (#DB by icebp|int1 and icebp)|single step: icebp|nested: .* after #DB`, `#UD \| #(DB|NP|GP|SS|PF).*`),
	deviation("a repetition ends with an iteration of its own in single step", "17.3.1.4", `single step: rep movsb`, `(#DB ){7}end \| (#DB ){6}end`),
	deviation("DR7.GD has no effect", "17.2.4", `breakpoint: general detect`, `end \| #DB`),
	deviation("RF stays after an instruction", "17.3.1.1", `breakpoint: instruction$|iretq with (all flags|RF)`, `end: rflags 0x\w+ \| 0x\w+`),
	deviation("model-specific registers that are not there are read and written", "volume 2, RDMSR, WRMSR", `exception: (rdmsr|wrmsr) of none`, `end \| #GP(\(0x0\))?`),
	deviation("WRMSR takes addresses that are not canonical", "volume 2, WRMSR", `exception: wrmsr( not canonical)?,|system: MSR 0x(C00001|C00000|17)`, `end \| #GP(\(0x0\))?`),
	deviation("WRMSR takes reserved kinds of memory in IA32_PAT", "11.12.2", `system: MSR 0x277`, `end \| #GP\(0x0\)`),
	deviation("IA32_SYSENTER_CS has 16 bits", "volume 4, IA32_SYSENTER_CS", `system: MSR 0x174`, `end: r[ad]x .*`),
	deviation("CR8 takes more than 4 bits", "volume 2, MOV to control registers", `system: cr8`, `end \| #GP\(0x0\)`),
	deviation("RDPMC is #UD in ring 0", "volume 2, RDPMC", `exception: rdpmc`, `#UD \| #GP(\(0x0\))?`),
	deviation("LTR takes a null selector", "volume 2, LTR", `exception: ltr|ltr ax of 0 `, `end \| #GP(\(0x0\))?`),
	deviation("control registers that are not there are #GP outside of ring 0", "volume 2, MOV to control registers", `exception: mov to cr1`, `#GP(\(0x0\))? \| #UD`),
	deviation("SYSCALL and SYSRET run in compatibility mode", "volume 2, SYSCALL, SYSRET", `exception: (#UD by syscall|sysret), compat`, `(note end|#PF\(0x4\)|#GP\(0x0\)) \| #UD`),
	deviation("SYSCALL clears the status flags", "volume 2, SYSCALL", `syscall r`, `(note|end): (handler.flags|rflags) 0x2 \| 0x8d7`),
	deviation("SYSRET sets RF and VM", "volume 2, SYSRET", `sysret[ql] with all flags`, `end: rflags 0x277ed7 \| 0x247ed7`),
	deviation("the stack of an unmasked division by zero is popped", "volume 1, 8.5.3", `unit with .*: #MF r`, `#MF: rax 0x\w+b884 \| 0x\w+b084`),
	deviation("only FWAIT raises #MF", "volume 1, 8.7", `unit with .*: #MF by the next`, `end \| #MF`),
	deviation("IRET and RETF to a stack that is not present are #NP", "volume 2, IRET", `iretq .* with stack L?MISSING3`, `#NP\((.*)\) \| #SS\((.*)\)`),
	deviation("IRET, RETF and far jumps do not set accessed bits in outer rings and in ring 3", "3.4.5.1", `.*(FRESH|LDATA3)`, `\[(GDT|LDT)\+0x\w+\] unchanged \| 0x[ac]f(f[3b])000000ffff`),
	deviation("code that is 64-bit and 32-bit at once can be entered", "volume 2, JMP, IRET", `.* to CODELONGBIG`, `end \| #GP\(0xe8\)`),
	deviation("IRET takes a null SS of another ring, or for 32-bit code", "volume 2, IRET", `iretq to null SS`, `end \| #GP\(0x0\)`),
	deviation("a null FS or GS keeps its RPL in a return to an outer ring", "volume 2, IRET", `load [fg]s with RPL|iretq with DS null`, `.*: [fg]s 0x[123] \| 0x0`),
	deviation("LAR takes task gates in 64-bit mode", "volume 2, LAR", `lar e?bx, ax with RPL`, `(note|end|#GP.*): (handler.flags|rflags|rbx) .*`),
	deviation("a null SS of another RPL than the ring's is loaded, and makes it ring 0", "volume 2, MOV", `load null ss with RPL [0-3], long r[013]`, `end \| #GP\(0x0\)|end: handler.(rsp|ss) .*`),
	deviation("SSE raises no exceptions", "6.15, interrupt 19", `unit with (nothing|no OSXMMEXCPT): #XM`, `end \| #(XM|UD)`),
	deviation("open: at which byte of a descriptor its accessed bit is written", "3.4.5.1", `segment: GDT read-only, mov eax, FRESH3; mov ds`, `#PF\(0x3\): cr2 0x80000000cc \| 0x80000000cd`),
}

// explain takes the differences that are known from a list.
func explain(name string, differences []string) (left []string) {
next:
	for _, d := range differences {
		for _, k := range deviations {
			if k.cases.MatchString(name) && k.lines.MatchString(d) {
				k.used = true
				continue next
			}
		}
		left = append(left, d)
	}
	return left
}
