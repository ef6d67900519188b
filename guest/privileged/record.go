package privileged

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Result is what a case has left in the log.
type Result struct {
	Ran      bool
	Events   []Event
	Changes  []Change // of the arena, by address
	Shutdown bool     // the processor shut down in it
}

// Event is an exception, or INT 0x80 at the end of a case.
type Event struct {
	Vector  uint8
	HasCode bool
	Legacy  bool // of protected mode
	words   [eventWords]uint64
}

// Change is a quadword that is no more what it was.
type Change struct{ Addr, Value uint64 }

const eventWords = 32

// LogSize is how long the log can be, in bytes.
const LogSize = Memory - Log

// Results reads the log. Cases that did not run have an empty one.
func (g *Guest) Results(log []byte) ([]Result, error) {
	list := make([]Result, len(g.Cases))
	var now *Result
	last := uint64(0)
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(log[8*i:]) }
	for len(log) >= 8*eventWords {
		kind := word(0) & 0xFF
		if kind == 0 {
			return list, nil
		}
		if kind != recordCase && now == nil {
			return nil, fmt.Errorf("the log begins with %#x", word(0))
		}
		n := 1
		switch kind {
		case recordCase:
			n = 2
			if word(1) >= uint64(len(list)) {
				return nil, fmt.Errorf("the log has a case %d", word(1))
			}
			last = word(1)
			now = &list[last]
		case recordEvent:
			n = eventWords
			e := Event{Vector: uint8(word(0) >> 8), HasCode: word(0)>>16&1 != 0, Legacy: word(0)>>17&1 != 0}
			for i := range e.words {
				e.words[i] = word(i)
			}
			now.Events = append(now.Events, e)
		case recordMemory:
			n = 3
			now.Changes = append(now.Changes, Change{word(1), word(2)})
		case recordShutdown:
			now.Shutdown = true
		case recordEnd:
			now.Ran = true
		default:
			return nil, fmt.Errorf("the log has a record %#x after %q, %s", word(0), g.Cases[last].Name, now.Titles())
		}
		log = log[8*n:]
	}
	return nil, fmt.Errorf("the log has no end after %q, %s", g.Cases[last].Name, now.Titles())
}

// exceptions are the names of the vectors.
var exceptions = map[uint8]string{
	0: "#DE", 1: "#DB", 2: "NMI", 3: "#BP", 4: "#OF", 5: "#BR", 6: "#UD", 7: "#NM", 8: "#DF", 10: "#TS", 11: "#NP", 12: "#SS", 13: "#GP", 14: "#PF", 16: "#MF",
	17: "#AC", 19: "#XM", 0x80: "end", 0x81: "note",
}

// title is the exception with its error code: "#GP(0x18)".
func (e *Event) title() string {
	name, ok := exceptions[e.Vector]
	if !ok {
		name = fmt.Sprintf("interrupt %#x", e.Vector)
	}
	if e.HasCode || e.Legacy && e.words[1] != 0 {
		name += fmt.Sprintf("(%#x)", e.words[1])
	}
	return name
}

// Names of an event's words, and of the 16-bit parts of the words 5 and 6.
var (
	wordNames    = strings.Fields("- code cr2 dr6 handler.flags - - handler.rsp rip cs rflags rsp ss rax rcx rdx rbx rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 fsbase gsbase cr0 cr4")
	legacyNames  = strings.Fields("rdi rsi rbp esp.handler rbx rdx rcx rax")
	segmentNames = strings.Fields("handler.cs handler.ss ds es fs gs tr ldtr")
)

// name of a word.
func (e *Event) word(i int) string {
	if e.Legacy && i >= 13 && i < 13+len(legacyNames) {
		return legacyNames[i-13]
	}
	return wordNames[i]
}

// Get is a register as the handler has found it, or "code", the error code; of the exception's frame are rip, cs,
// rflags, rsp and ss. A handler in another ring than 0 could not read the registers of the system, which are 0 then.
func (e *Event) Get(name string) uint64 {
	for i := range e.words {
		if e.word(i) == name {
			return e.words[i]
		}
	}
	i := slices.Index(segmentNames, name)
	return e.words[5+i/4] >> (16 * (i % 4)) & 0xFFFF
}

// Set has an event say something else.
func (e *Event) Set(name string, v uint64) {
	for i := range e.words {
		if e.word(i) == name {
			e.words[i] = v
			return
		}
	}
	i := slices.Index(segmentNames, name)
	at, bit := &e.words[5+i/4], 16*(i%4)
	*at = *at&^(0xFFFF<<bit) | v<<bit
}

// fields are the parts of an event, with their names.
func (g *Guest) fields(e *Event) (list []string) {
	for i, v := range e.words {
		switch name := e.word(i); name {
		case "-":
		case "rip":
			list = append(list, "rip "+g.name(v))
		default:
			list = append(list, fmt.Sprintf("%s %#x", name, v))
		}
	}
	for _, name := range segmentNames {
		list = append(list, fmt.Sprintf("%s %#x", name, e.Get(name)))
	}
	return list
}

// Trace is a case's result in a line for each thing that happened.
func (g *Guest) Trace(r *Result) string {
	var b strings.Builder
	for i := range r.Events {
		e := &r.Events[i]
		fmt.Fprintf(&b, "%s: %s\n", e.title(), strings.Join(g.fields(e), ", "))
	}
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "[%#x] = %#x\n", c.Addr, c.Value)
	}
	if r.Shutdown {
		b.WriteString("shutdown\n")
	}
	return b.String()
}

// Differences are what two results of a case differ in: a line each, with the first one's value before the
// second's. Where the exceptions differ, only those are compared.
func (g *Guest) Differences(a, b *Result) (list []string) {
	if x, y := a.Titles(), b.Titles(); x != y {
		return []string{fmt.Sprintf("%s | %s", x, y)}
	}
	for i := range a.Events {
		x, y := g.fields(&a.Events[i]), g.fields(&b.Events[i])
		for j := range x {
			if x[j] != y[j] {
				_, value, _ := strings.Cut(y[j], " ")
				list = append(list, fmt.Sprintf("%s: %s | %s", a.Events[i].title(), x[j], value))
			}
		}
	}
	return append(list, changed(a.Changes, b.Changes)...)
}

// Titles are the exceptions of a case in their order.
func (r *Result) Titles() string {
	var list []string
	for i := range r.Events {
		list = append(list, r.Events[i].title())
	}
	if r.Shutdown {
		list = append(list, "shutdown")
	}
	if !r.Ran {
		list = append(list, "no end")
	}
	return strings.Join(list, " ")
}

// changed compares the changes of the arena.
func changed(a, b []Change) (list []string) {
	x, y := map[uint64]uint64{}, map[uint64]uint64{}
	for _, c := range b {
		y[c.Addr] = c.Value
	}
	show := func(m map[uint64]uint64, addr uint64) string {
		if v, ok := m[addr]; ok {
			return fmt.Sprintf("%#x", v)
		}
		return "unchanged"
	}
	for _, c := range a {
		x[c.Addr] = c.Value
		if v, ok := y[c.Addr]; !ok || v != c.Value {
			list = append(list, fmt.Sprintf("[%s] %#x | %s", place(c.Addr), c.Value, show(y, c.Addr)))
		}
	}
	for _, c := range b {
		if _, ok := x[c.Addr]; !ok {
			list = append(list, fmt.Sprintf("[%s] unchanged | %#x", place(c.Addr), c.Value))
		}
	}
	return list
}

// place is an address of the arena by its page's name.
func place(addr uint64) string {
	names := strings.Fields("PML4 PDPT PD PDUSER PDAPIC TPDPT TPD TPT GDT LDT IDT IDT32 TSS D0 D1 D2 D3")
	i := int(addr-arena) / page
	if addr < arena || i >= len(names) {
		return fmt.Sprintf("%#x", addr)
	}
	return fmt.Sprintf("%s+%#x", names[i], addr%page)
}

// HugeEntry is where the entry of the page of 1 GiB is.
const HugeEntry = testPDPT + 8

// Drop forgets that a quadword has changed.
func (r *Result) Drop(addr uint64) {
	r.Changes = slices.DeleteFunc(r.Changes, func(c Change) bool { return c.Addr == addr })
}
