// Package seccomp restricts the system calls of this process: a [Policy] lists
// those that are allowed, and what happens at any other. It is compiled to classic
// BPF, which the kernel runs on a struct seccomp_data at each call (Linux,
// Documentation/userspace-api/seccomp_filter.rst). x86-64 only: calls by the 32-bit
// and the x32 interface are never allowed.
package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Action is what happens at a system call: a SECCOMP_RET_ value.
type Action uint32

// Actions.
const (
	KillProcess Action = unix.SECCOMP_RET_KILL_PROCESS // SIGSYS, which nothing can catch
	Notify      Action = unix.SECCOMP_RET_USER_NOTIF   // the listener that Install returns decides
	Allow       Action = unix.SECCOMP_RET_ALLOW
)

// Policy is a list of allowed system calls.
type Policy struct {
	// Rules are the calls that are allowed. Several rules of one call allow what any of them
	// does.
	Rules     []Rule
	Otherwise Action
}

// Rule allows a system call where all its conditions hold.
type Rule struct {
	Call uintptr // SYS_ number
	When []Condition
}

// Condition holds where the low 32 bits of an argument, and with Mask, are one of
// Values. The upper half is not looked at: conditions are for arguments that the kernel
// takes as 32-bit numbers, or of which it knows no upper bits.
type Condition struct {
	Arg    int    // 0 to 5
	Mask   uint32 // 0: all bits
	Values []uint32
}

// Calls are rules that allow calls with any arguments.
func Calls(list ...uintptr) []Rule {
	rules := make([]Rule, len(list))
	for i, c := range list {
		rules[i].Call = c
	}
	return rules
}

// Only is the rule that allows a call whose argument is one of values.
func Only(call uintptr, arg int, values ...uint32) Rule {
	return Rule{Call: call, When: []Condition{{Arg: arg, Values: values}}}
}

// Without is the rule that allows a call in whose argument none of the bits is set.
func Without(call uintptr, arg int, bits uint32) Rule {
	return Rule{Call: call, When: []Condition{{Arg: arg, Mask: bits, Values: []uint32{0}}}}
}

// Allows tells whether the policy allows a call, as the compiled filter does.
func (p *Policy) Allows(call uintptr, args [6]uint64) bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool {
		return r.Call == call && !slices.ContainsFunc(r.When, func(c Condition) bool { return !c.holds(args) })
	})
}

func (c *Condition) holds(args [6]uint64) bool {
	v := uint32(args[c.Arg])
	if c.Mask != 0 {
		v &= c.Mask
	}
	return slices.Contains(c.Values, v)
}

// Offsets in struct seccomp_data {int nr; u32 arch; u64 instruction_pointer, args[6]}.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// x32Bit is set in the numbers of the x32 interface's calls.
const x32Bit = 0x4000_0000

// maxInstructions is BPF_MAXINSNS.
const maxInstructions = 4096

// Instructions of classic BPF.
const (
	load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS // A = 32 bits of the data at K
	and    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	jump   = unix.BPF_JMP | unix.BPF_JA // K instructions further
	equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	notLow = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	answer = unix.BPF_RET | unix.BPF_K
)

// Compile makes the filter's program.
func (p *Policy) Compile() ([]unix.SockFilter, error) {
	if p.Otherwise == Allow {
		return nil, errors.New("seccomp: a policy that allows all")
	}
	prog := make([]unix.SockFilter, 0, 16+3*len(p.Rules))
	prog = append(prog,
		unix.SockFilter{Code: load, K: offsetArch},
		unix.SockFilter{Code: equal, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		unix.SockFilter{Code: answer, K: uint32(KillProcess)},
		unix.SockFilter{Code: load, K: offsetCall},
		unix.SockFilter{Code: notLow, K: x32Bit, Jf: 1},
		unix.SockFilter{Code: answer, K: uint32(KillProcess)},
	)
	calls, err := p.compileCalls()
	if err != nil {
		return nil, err
	}
	if prog = append(prog, p.search(calls)...); len(prog) > maxInstructions {
		return nil, fmt.Errorf("seccomp: %d instructions: the kernel takes %d", len(prog), maxInstructions)
	}
	return prog, nil
}

// compiledCall is the answer to a call, once its number has been found.
type compiledCall struct {
	call uint32
	body []unix.SockFilter
}

// compileCalls makes the answers, in the order of the calls' numbers.
func (p *Policy) compileCalls() ([]compiledCall, error) {
	rules := slices.Clone(p.Rules)
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Call, b.Call) })
	var calls []compiledCall
	for len(rules) != 0 {
		call := rules[0].Call
		if call >= x32Bit {
			return nil, fmt.Errorf("seccomp: %#x is no number of a system call", call)
		}
		n := slices.IndexFunc(rules, func(r Rule) bool { return r.Call != call })
		if n < 0 {
			n = len(rules)
		}
		body, err := p.compileCall(rules[:n])
		if err != nil {
			return nil, err
		}
		calls = append(calls, compiledCall{uint32(call), body})
		rules = rules[n:]
	}
	return calls, nil
}

// search finds a call by its number, which is loaded, and gives its answer. It is a binary
// search: when a filter is installed, the kernel runs it once for each number that there
// is, to know the calls that are always allowed.
func (p *Policy) search(calls []compiledCall) []unix.SockFilter {
	switch len(calls) {
	case 0:
		return []unix.SockFilter{{Code: answer, K: uint32(p.Otherwise)}}
	case 1:
		found := []unix.SockFilter{{Code: equal, K: calls[0].call, Jt: 1}, {Code: answer, K: uint32(p.Otherwise)}}
		return append(found, calls[0].body...)
	}
	middle := len(calls) / 2
	low, high := p.search(calls[:middle]), p.search(calls[middle:])
	prog := []unix.SockFilter{{Code: notLow, K: calls[middle].call, Jf: 1}, {Code: jump, K: uint32(len(low))}}
	return append(append(prog, low...), high...)
}

// compileCall makes the answer to a call from its rules.
func (p *Policy) compileCall(rules []Rule) ([]unix.SockFilter, error) {
	var body []unix.SockFilter
	for _, r := range rules {
		if len(r.When) == 0 {
			return []unix.SockFilter{{Code: answer, K: uint32(Allow)}}, nil
		}
		rule, err := compileRule(r)
		if err != nil {
			return nil, err
		}
		body = append(body, rule...)
	}
	return append(body, unix.SockFilter{Code: answer, K: uint32(p.Otherwise)}), nil
}

// compileRule makes the program that answers Allow where all conditions hold, and
// else goes on behind itself.
func compileRule(r Rule) ([]unix.SockFilter, error) {
	rest := []unix.SockFilter{{Code: answer, K: uint32(Allow)}}
	for _, c := range slices.Backward(r.When) {
		if c.Arg < 0 || c.Arg > 5 || len(c.Values) == 0 || len(c.Values) > 255 {
			return nil, fmt.Errorf("seccomp: call %d: a condition on argument %d with %d values", r.Call, c.Arg, len(c.Values))
		}
		one := []unix.SockFilter{{Code: load, K: uint32(offsetArgs + 8*c.Arg)}}
		if c.Mask != 0 {
			one = append(one, unix.SockFilter{Code: and, K: c.Mask})
		}
		for i, v := range c.Values {
			one = append(one, unix.SockFilter{Code: equal, K: v, Jt: uint8(len(c.Values) - i)})
		}
		one = append(one, unix.SockFilter{Code: jump, K: uint32(len(rest))})
		rest = append(one, rest...)
	}
	return rest, nil
}
