package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// runAt executes from an address to the next HLT.
func runAt(t *testing.T, c *CPU, addr uint64) {
	t.Helper()
	c.RIP, c.halted = addr, false
	var e hypervisor.Exit
	for range 100 {
		c.attend.Store(false)
		if c.stepping(&e) {
			t.Fatalf("%+v", e)
		}
		if c.halted {
			return
		}
	}
	t.Fatal("no HLT")
}

// Instructions that were decoded are forgotten when the processor, or a device, writes others in their
// place.
func TestCodeThatIsWritten(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	at := s.addr &^ (pageSize - 1)
	// mov eax, 1; hlt
	copy(s.own, []byte{0xB8, 1, 0, 0, 0, 0xF4})
	runAt(t, c, at)
	if c.R[rax] != 1 {
		t.Fatalf("eax %d", c.R[rax])
	}
	// in the second page: mov byte [rbx], 2; jmp rcx
	copy(s.own[pageSize:], []byte{0xC6, 0x03, 2, 0xFF, 0xE1})
	c.R[rbx], c.R[rcx] = at+1, at
	runAt(t, c, at+pageSize)
	if c.R[rax] != 2 {
		t.Errorf("the processor wrote, and eax is %d", c.R[rax])
	}
	// its own instruction: mov byte [rip], 0x90 over what follows; hlt
	copy(s.own[64:], []byte{0xC6, 0x05, 0, 0, 0, 0, 0xF4, 0xFE, 0xF4})
	runAt(t, c, at+64)
	s.own[1] = 3     // as a device does, which interrupts
	c.flushTLB(true) // as before a guest executes it
	runAt(t, c, at)
	if c.R[rax] != 3 {
		t.Errorf("a device wrote, and eax is %d", c.R[rax])
	}
}

// What is kept is bounded.
func TestCodeIsBounded(t *testing.T) {
	s := newSandbox(t)
	c := newCPU64(t, s)
	for i := range s.own {
		s.own[i] = 0x90
	}
	s.own[len(s.own)-1] = 0xF4
	for range 2 * maxUops / len(s.own) {
		runAt(t, c, s.addr)
		c.code.shared.spoilt(c, c.code.shared.at(s.addr))
		c.code.forgetJumps()
	}
	if c.code.uops > maxUops {
		t.Errorf("%d instructions are kept", c.code.uops)
	}
}

// Code that goes on in the next page finds which page that is now: others may have written there, or a process that shares
// the first page may have another one after it.
func TestCodeGoesOnInTheNextPage(t *testing.T) {
	const last, second, other = tinyCode + pageSize - 1, tinyCode + pageSize, 0x40000
	g := newTiny(t, long0, "")
	g.ram[last] = 0x90
	copy(g.ram[second:], g.bytes("B8 01000000 F4")) // mov eax, 1; hlt
	copy(g.ram[other:], g.bytes("B8 02000000 F4"))
	from := func() uint64 {
		g.RIP, g.halted = last, false
		g.halts()
		return g.R[rax]
	}
	if v := from(); v != 1 {
		t.Fatalf("eax %d", v)
	}
	g.put64(tinyPT+8*(second/pageSize), other|7)
	g.flushPage(second)
	if v := from(); v != 2 {
		t.Errorf("with another second page: eax %d", v)
	}
	g.store(second+1, 1, 3)
	if v := from(); v != 3 {
		t.Errorf("when the second page was written: eax %d", v)
	}
}

// An instruction that another processor makes shorter while it is decoded, so that it no longer lies in two pages, is one like others.
func TestCodeThatNoLongerCrosses(t *testing.T) {
	const at = tinyCode + pageSize - 3
	g := newTiny(t, long0, "")
	copy(g.ram[at:], g.bytes("90 90 F4"))
	page, bytes := g.codePageAt(at)
	if u := g.decodeAcross(at, page, bytes); u == nil || u.Len != 1 {
		t.Fatalf("%+v", u)
	}
	g.RIP = at
	g.halts()
}

// A page to which a processor could write when another one began to decode from it is decoded anew, however many pages that were.
func TestClaims(t *testing.T) {
	for _, more := range []int{0, maxClaims} {
		a, b := newTiny(t, long0, "F4"), newTiny(t, long0, "F4")
		shared := a.code.shared
		b.code.shared, b.mmu.ram = shared, a.mmu.ram
		shared.world.cpus = append(shared.world.cpus, b.CPU)
		if !b.store(tinyCode+1, 1, 1) {
			t.Fatal(b.fault)
		}
		a.halts()
		for range more {
			b.claims.add(tinyData)
		}
		if !shared.has(tinyCode) {
			t.Fatal("it has no instructions")
		}
		if b.applyClaims(); shared.has(tinyCode) || b.protect(tinyCode) {
			t.Errorf("with %d more, the page is as it was", more)
		}
	}
}

// What the machine's processors share about pages is bounded, where a guest has instructions in every page.
func TestCodeMapIsBounded(t *testing.T) {
	m := newCodeMap(1<<32, new(world))
	c := newCPU64(t, newSandbox(t))
	c.code.shared = m
	first, state := m.claim(c, 0)
	for i := range uint64(3 * maxClaimed) {
		if p, state := m.claim(c, i*pageSize); p.state.Load() != state || !m.has(i*pageSize) {
			t.Fatalf("page %d is not claimed", i)
		}
	}
	if m.claimed > maxClaimed {
		t.Errorf("%d pages", m.claimed)
	}
	if first.state.Load() == state {
		t.Error("what was decoded from the first page still holds")
	}
}
