package soft

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"
	"github.com/mayfly-vm/mayfly/pvh"
)

// tinyRAM is 2 MiB of memory.
type tinyRAM []byte

func (r tinyRAM) Page(addr uint64) (*[pageSize]byte, bool) {
	if addr+pageSize > uint64(len(r)) {
		return nil, false
	}
	return (*[pageSize]byte)(r[addr:]), true
}

// Where a tiny guest has what.
const (
	tinyPML4, tinyPDPT, tinyPD, tinyPT = 0x1000, 0x2000, 0x3000, 0x7000
	tinyGDT, tinyIDT, tinyTSS          = 0x4000, 0x5000, 0x6000
	tinyStack0, tinyStack, tinyIST     = 0x9000, 0xB000, 0xD000 // tops: of ring 0, of code, of IST 1
	tinyCode, tinyData, tinyHandlers   = 0x10000, 0x20000, 0x30000
)

// Selectors of a tiny guest.
const (
	selCode64, selData, selCode32              = 0x08, 0x10, 0x18
	selUser64, selUserData, selUser32          = 0x23, 0x2B, 0x33
	selTSS                                     = 0x38
	selSmall, selDown, selCode16, selAbsent    = 0x4B, 0x53, 0x58, 0x63
	selGate                                    = 0x6B
	selExecute, selRead, selStack16, selTSSBad = 0x7B, 0x83, 0x8B, 0x90
	selTask                                    = 0xA0
)

// ring is a mode and a privilege in which a tiny guest's code begins.
type ring uint8

const (
	long0 ring = iota
	long3
	compat3
	flat0 // 32-bit mode without paging
	flat3
	real16
)

func (r ring) user() bool { return r == long3 || r == compat3 || r == flat3 }

// tiny is a guest of a few instructions. Each vector's handler is HLT, at tinyHandlers + 16 * vector.
type tiny struct {
	t   testing.TB
	ram tinyRAM
	*CPU
	exit hypervisor.Exit
}

func tinyDescriptor(base, limit uint32, attr uint16) uint64 {
	return uint64(limit&0xFFFF) | uint64(base&0xFF_FFFF)<<16 | uint64(attr)<<40 | uint64(limit>>16&15)<<48 | uint64(base>>24)<<56
}

func newTiny(t testing.TB, r ring, code string) *tiny {
	t.Helper()
	g := &tiny{t: t, ram: make(tinyRAM, 2<<20)}
	store, err := newCodeStore()
	if err != nil {
		t.Fatal(err)
	}
	shared := newCodeMap(uint64(len(g.ram)), new(world))
	g.CPU = newCPU(g.ram, shared, store)
	shared.world.cpus = []*CPU{g.CPU}
	t.Cleanup(func() { _ = store.close() })
	g.tables(r)
	copy(g.ram[tinyCode:], g.bytes(code))
	g.start(r)
	return g
}

// units gives it x87, MMX and SSE.
func (g *tiny) units() {
	g.t.Helper()
	g.CPU.units = newUnits(hostCode(g.t))
	g.cr4 |= cr4OSFXSR | cr4OSXMMEXCPT
}

func (g *tiny) bytes(s string) []byte {
	g.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		g.t.Fatalf("%q: %v", s, err)
	}
	return b
}

func (g *tiny) put64(at int, v uint64) { binary.LittleEndian.PutUint64(g.ram[at:], v) }
func (g *tiny) get64(at uint64) uint64 { return binary.LittleEndian.Uint64(g.ram[at:]) }
func (g *tiny) get32(at uint64) uint64 { return uint64(binary.LittleEndian.Uint32(g.ram[at:])) }

// tables makes page tables, GDT, IDT and TSS.
func (g *tiny) tables(r ring) {
	g.put64(tinyPML4, tinyPDPT|7)
	g.put64(tinyPDPT, tinyPD|7)
	g.put64(tinyPD, tinyPT|7)
	for i := range 512 {
		g.put64(tinyPT+8*i, uint64(i)<<12|7)
	}
	const (
		code, data  = segmentPresent | segmentS | segmentCode | segmentWrite, segmentPresent | segmentS | segmentWrite
		user        = 3 << 5
		big, scaled = segmentBig, segmentGranular
	)
	long := r < flat0
	all := uint32(0xFFFFF)
	for selector, d := range map[int]uint64{
		selCode64: tinyDescriptor(0, all, code|segmentLong|scaled), selData: tinyDescriptor(0, all, data|big|scaled), selCode32: tinyDescriptor(0, all, code|big|scaled),
		selUser64: tinyDescriptor(0, all, code|segmentLong|scaled|user), selUserData: tinyDescriptor(0, all, data|big|scaled|user),
		selUser32: tinyDescriptor(0, all, code|big|scaled|user), selTSS: tinyDescriptor(tinyTSS, 0x67, segmentPresent|typeTSS),
		selSmall: tinyDescriptor(tinyData, 0xFFF, data|big|user), selDown: tinyDescriptor(tinyData, 0xFFF, data|big|user|segmentConforming),
		selCode16: tinyDescriptor(tinyCode, 0xFFFF, code), selAbsent: tinyDescriptor(0, all, segmentS|segmentWrite|user|big|scaled),
		selExecute: tinyDescriptor(0, all, code&^segmentWrite|big|scaled|user), selRead: tinyDescriptor(0, all, data&^segmentWrite|big|scaled|user),
		selStack16: tinyDescriptor(tinyData, 0xFFFF, data|user), selTSSBad: tinyDescriptor(tinyTSS, 0x67, segmentPresent|typeTSSBusy),
	} {
		g.put64(tinyGDT+selector&^7, d)
	}
	gate := func(at, to int, selector, kind uint64) {
		g.put64(at, uint64(to)&0xFFFF|selector<<16|kind<<40|uint64(to)>>16<<48)
	}
	g.put64(tinyGDT+selTask, tinyDescriptor(tinyTSS, 0x67, segmentPresent|typeTSS|user))
	if long {
		gate(tinyGDT+selGate&^7, tinyHandlers+16*0x90, selCode64, 0xEC)
	} else {
		gate(tinyGDT+selGate&^7, tinyHandlers+16*0x90, selCode32, 0xEC)
	}
	for v := range 256 {
		g.ram[tinyHandlers+16*v] = 0xF4
		switch {
		case long:
			gate(tinyIDT+16*v, tinyHandlers+16*v, selCode64, 0xEE)
		case r == real16:
			g.put64(tinyIDT+4*v, uint64(16*v|tinyHandlers>>4<<16)|g.get64(uint64(tinyIDT+4*v))&^0xFFFF_FFFF)
		default:
			gate(tinyIDT+8*v, tinyHandlers+16*v, selCode32, 0xEE)
		}
	}
	g.ram[tinyTSS+0x66] = 0x68 // no map of ports
	if long {
		g.put64(tinyTSS+4, tinyStack0)
		g.put64(tinyTSS+36, tinyIST)
	} else {
		g.put64(tinyTSS+4, tinyStack0|selData<<32)
	}
}

// start sets the registers.
func (g *tiny) start(r ring) {
	g.t.Helper()
	seg := func(selector uint16, kind uint8, dpl uint8, limit uint32) pvh.Segment {
		return pvh.Segment{Selector: selector, Type: kind, S: true, DPL: dpl, Present: true, DB: true, G: true, Limit: limit}
	}
	s := hypervisor.State{RIP: tinyCode, RSP: tinyStack, RBX: tinyData, RFLAGS: 2, CR0: cr0PE | cr0NE | cr0ET}
	s.GDT, s.IDT = hypervisor.Table{Base: tinyGDT, Limit: 0xFF}, hypervisor.Table{Base: tinyIDT, Limit: 0xFFF}
	s.TR = pvh.Segment{Selector: selTSS, Type: typeTSSBusy, Present: true, Base: tinyTSS, Limit: 0x67}
	cs, ds := uint16(selCode32), uint16(selData)
	dpl := uint8(0)
	if r.user() {
		cs, ds, dpl = selUser32, selUserData, 3
	}
	s.CS, s.DS = seg(cs, 0xB, dpl, ^uint32(0)), seg(ds, 3, dpl, ^uint32(0))
	switch r {
	case long0, long3:
		s.CS.L, s.CS.DB = true, false
		if s.CS.Selector = selCode64; r == long3 {
			s.CS.Selector = selUser64
		}
	case real16:
		s.CR0 = cr0ET
		s.CS, s.DS = seg(tinyCode>>4, 0xB, 0, 0xFFFF), seg(0, 3, 0, 0xFFFF)
		s.CS.Base, s.CS.DB, s.DS.DB = tinyCode, false, false
		s.CS.G, s.DS.G = false, false
		s.RIP, s.RBX = 0, 0x2000
	}
	s.ES, s.SS, s.FS, s.GS = s.DS, s.DS, s.DS, s.DS
	if r < flat0 {
		s.CR0 |= cr0PG | cr0WP
		s.CR3, s.CR4, s.EFER = tinyPML4, cr4PAE, eferLME|eferLMA|eferNX|eferSCE
	}
	if err := g.SetState(&s); err != nil {
		g.t.Fatal(err)
	}
}

// run executes up to HLT, or to the machine's end, which g.exit has.
func (g *tiny) run() *tiny {
	g.t.Helper()
	g.exit = hypervisor.Exit{Kind: hypervisor.ExitHalt}
	for range 100_000 {
		switch {
		case g.attend.Load():
			if g.poll(&g.exit) {
				return g
			}
		case g.halted:
			return g
		case len(g.bus.done) != 0:
			if g.single(&g.exit) {
				return g
			}
		case g.stepping(&g.exit):
			return g
		}
	}
	g.t.Fatal("no HLT")
	return g
}

// vector is that of the handler in which the guest has halted; -1: none.
func (g *tiny) vector() int {
	rip := g.linear()
	if rip < tinyHandlers || rip >= tinyHandlers+16*256 {
		return -1
	}
	return int(rip-tinyHandlers) / 16
}

// frame is the value at a place of the frame that the handler has: 0 is the top.
func (g *tiny) frame(i uint64) uint64 {
	switch {
	case g.efer&eferLMA != 0:
		return g.get64(g.R[rsp] + 8*i)
	case g.cr0&cr0PE == 0:
		return g.get64(g.segments[decode.SS].base+g.R[rsp]&0xFFFF+2*i) & 0xFFFF
	}
	return g.get32(g.R[rsp] + 4*i)
}

// raises checks that the guest's code ends by an exception at an offset of it.
func (g *tiny) raises(vector int, code uint64, offset uint64) {
	g.t.Helper()
	g.run()
	if g.exit.Kind != hypervisor.ExitHalt || g.vector() != vector {
		g.t.Errorf("%v (%s), vector %d, want %d; RIP %#x, fault %+v", g.exit.Kind, g.exit.Detail, g.vector(), vector, g.RIP, g.fault)
		return
	}
	at := uint64(0)
	if hasCode(uint8(vector)) && g.cr0&cr0PE != 0 {
		if at = 1; g.frame(0) != code {
			g.t.Errorf("error code %#x, want %#x", g.frame(0), code)
		}
	}
	if base := g.frame(at); base&0xFFFF != (tinyCode+offset)&0xFFFF {
		g.t.Errorf("at %#x, want %#x", base, tinyCode+offset)
	}
}

// halts checks that the guest's code comes to its own HLT.
func (g *tiny) halts() {
	g.t.Helper()
	if g.run(); g.exit.Kind != hypervisor.ExitHalt || g.vector() >= 0 {
		g.t.Errorf("%v (%s), vector %d at %#x, error code or more %#x", g.exit.Kind, g.exit.Detail, g.vector(), g.RIP, g.frame(0))
	}
}
