package privileged

import "encoding/binary"

// Guest-physical addresses. The arena's also are its linear addresses for rings 0 to 2; ring 3 finds all
// at the same addresses plus user.
const (
	// Memory is how much RAM a guest needs, in bytes.
	Memory = 64 << 20

	bootStack = 0x2F_0000
	vars      = 0x30_0000
	arena     = 0x40_0000
	Log       = 0x200_0000
	user      = 0x4000_0000
	apic      = 0xFEE0_0000

	page = 4096
)

// Pages of the arena. What a case changes in those before stacks is recorded.
const (
	pml4 = arena + page*iota
	pdpt
	pd
	pdUser
	pdAPIC
	testPDPT
	testPD
	testPT
	gdt
	ldt
	idt
	idt32
	tss
	data0
	data1
	data2
	data3
	stacks    // RSP0 to RSP2, IST1 to IST7, and two pages for the case
	arenaEnd  = stacks + 13*page
	caseStack = stacks + 12*page - 256
)

// Offsets of task segments in their page.
const (
	otherTSS = 0x400
	tss32    = 0x800
)

// Linear addresses of the pages for walks: each level has a leaf there. small has four pages of 4 KiB, data0 to
// data3; large is a page of 2 MiB at the arena; huge is one of 1 GiB at 0. All are the user's, and writable.
const (
	small    = 0x80_0000_0000
	large    = 0x80_0020_0000
	huge     = 0x80_4000_0000
	lowSmall = 0x8000_0000 // small and large for 32-bit code
	lowLarge = 0x8020_0000
)

// Bits of a page table's entry.
const (
	present  = 1 << 0
	writable = 1 << 1
	ofUser   = 1 << 2
	touched  = 1<<5 | 1<<6 // accessed and dirty
	leaf     = 1 << 7
)

// Kinds of descriptors: bits 40 to 55 without the limit's, as the processor's hidden part of a segment.
const (
	kindData     = 0x0093
	kindReadOnly = 0x0091
	kindDown     = 0x0097 // grows downwards
	kindCode     = 0x009B
	kindOnlyRun  = 0x0099
	kindConform  = 0x009F
	kindTSS      = 0x0089
	kindBusy     = 0x008B
	kindLDT      = 0x0082

	bitLong  = 0x2000
	bitBig   = 0x4000
	bitPages = 0x8000
	bitThere = 0x0080
	accessed = 0x0001
)

// descriptor is an entry of a descriptor table. limit is as it stands there.
func descriptor(base, limit uint32, kind uint16, dpl uint16) uint64 {
	kind |= dpl << 5
	return uint64(limit&0xFFFF) | uint64(base&0xFF_FFFF)<<16 | uint64(kind&0xF0FF)<<40 | uint64(limit>>16&15)<<48 | uint64(base>>24)<<56
}

// gate is one of 64-bit mode, in two parts.
func gate(selector uint16, offset uint32, kind, dpl uint16, ist uint8) (low, high uint64) {
	return uint64(offset&0xFFFF) | uint64(selector)<<16 | uint64(ist)<<32 | uint64(kind|dpl<<5|bitThere)<<40 | uint64(offset>>16)<<48, 0
}

// entry is a descriptor, and the name that its selector has in the cases. A wide one has 16 bytes, of two places.
type entry struct {
	name      string
	low, high uint64
	wide      bool
}

func flat(name string, kind, dpl uint16) entry {
	return entry{name: name, low: descriptor(0, 0xF_FFFF, kind|bitPages, dpl)}
}

func wide(name string, base, limit uint32, kind uint16) entry {
	return entry{name: name, low: descriptor(base, limit, kind, 0), wide: true}
}

// gdtEntries are those of the GDT from selector 8 on. The first five are as SYSCALL and SYSRET, and SYSENTER and
// SYSEXIT, want them.
func gdtEntries() []entry {
	gateLow, _ := gate(0x08, TextBase+syscallStub, 12, 3, 0)
	return []entry{
		flat("CODE0", kindCode|bitLong, 0), flat("DATA0", kindData|bitBig, 0),
		flat("CODE32_3", kindCode|bitBig, 3), flat("DATA3_", kindData|bitBig, 3), flat("CODE3", kindCode|bitLong, 3), flat("DATA3X", kindData|bitBig, 3),
		flat("CODE1", kindCode|bitLong, 1), flat("DATA1", kindData|bitBig, 1), flat("CODE2", kindCode|bitLong, 2), flat("DATA2", kindData|bitBig, 2),
		flat("CODE32_0", kindCode|bitBig, 0), flat("CODE32_1", kindCode|bitBig, 1), flat("CODE32_2", kindCode|bitBig, 2),
		wide("TSSSEL", tss, 0x89, kindTSS), wide("LDTSEL", ldt, 0x3F, kindLDT), wide("TSSOTHER", tss+otherTSS, 0x67, kindTSS),
		{name: "TSS32SEL", low: descriptor(tss+tss32, 0x8A, kindTSS, 0)},
		flat("CONFORM0", kindConform|bitLong, 0), flat("CONFORM32_0", kindConform|bitBig, 0), flat("ONLYRUN32_3", kindOnlyRun|bitBig, 3),
		flat("READONLY3", kindReadOnly&^accessed|bitBig, 3), flat("FRESH3", kindData&^accessed|bitBig, 3),
		flat("MISSING0", kindData&^bitThere|bitBig, 0), flat("MISSING3", kindData&^bitThere|bitBig, 3), flat("CODEMISSING3", kindCode&^bitThere|bitLong, 3),
		flat("CODELONGBIG", kindCode|bitLong|bitBig, 0),
		{name: "LIMITED3", low: descriptor(user+data0, 0x7FF, kindData|bitBig, 3)},
		{name: "DOWN3", low: descriptor(user+data0, 0x7FF, kindDown|bitBig, 3)},
		{name: "CALLGATE", low: gateLow, wide: true},
		flat("CODEFRESH3", kindCode&^accessed|bitLong, 3),
		{name: "INTGATE", low: descriptor(0, 0, 0x8E, 0)},
		flat("CODEMISSING0", kindCode&^bitThere|bitLong, 0), flat("CONFORM3", kindConform|bitLong, 3),
		{name: "DATA16_0", low: descriptor(0, 0xFFFF, kindData, 0)}, {name: "CODE16_0", low: descriptor(0, 0xFFFF, kindCode, 0)},
		wide("TSSBUSY", tss+otherTSS, 0x67, kindBusy), wide("TSSMISSING", tss+otherTSS, 0x67, kindTSS&^bitThere), wide("LDTMISSING", ldt, 0x3F, kindLDT&^bitThere),
		wide("LDTFRESH", ldt, 0x1F, kindLDT),
		{name: "CODELIMITED3", low: descriptor(user, 0x1_0000, kindCode|bitBig|bitPages, 3)},
		{name: "TASKGATE", low: descriptor(0, 0, 0x85, 3)},
		{name: "DOWN16_3", low: descriptor(user+data0, 0x7FF, kindDown, 3)},
		wide("TSSSHORT", tss, 0x1B, kindTSS), wide("TSSNOMAP", tss, 0x67, kindTSS),
		flat("CODEFRESH32_3", kindCode&^accessed|bitBig, 3), flat("FRESH0", kindData&^accessed|bitBig, 0), flat("CONFORM0MISSING", kindConform&^bitThere|bitLong, 0),
		{name: "LIMITED0", low: descriptor(data0, 0x7FF, kindData|bitBig, 0)},
		{name: "LIMITED3P", low: descriptor(data0, 0x7FF, kindData|bitBig, 3)}, {name: "DOWN3P", low: descriptor(data0, 0x7FF, kindDown|bitBig, 3)},
		{name: "DOWN0", low: descriptor(data0, 0x7FF, kindDown|bitBig, 0)},
		flat("DATA0MISSINGRO", kindReadOnly&^bitThere|bitBig, 0),
	}
}

// ldtEntries are those of the LDT from selector 4 on; it has 8 places.
func ldtEntries() []entry {
	return []entry{
		flat("LDATA3", kindData&^accessed|bitBig, 3), flat("LCODE3", kindCode|bitLong, 3), flat("LDATA0", kindData|bitBig, 0), flat("LMISSING3", kindData&^bitThere|bitBig, 3),
	}
}

// selectors are the values of the entries' names, with the privilege level of their descriptor as RPL.
func selectors() map[string]uint16 {
	m := map[string]uint16{}
	add := func(at, table uint16, entries []entry) {
		for _, e := range entries {
			m[e.name] = at | table
			if !e.wide && e.low>>44&1 != 0 {
				m[e.name] |= uint16(e.low >> 45 & 3)
			}
			if at += 8; e.wide {
				at += 8
			}
		}
	}
	add(8, 0, gdtEntries())
	add(0, 4, ldtEntries())
	m["DATA3"] = m["DATA3_"]
	return m
}

// tables are the arena's bytes.
func tables() []byte {
	b := make([]byte, arenaEnd-arena)
	put := func(at int, v uint64) { binary.LittleEndian.PutUint64(b[at-arena:], v) }
	mapPages(put)
	segments := func(at int, entries []entry) int {
		for _, e := range entries {
			put(at, e.low)
			if at += 8; e.wide {
				put(at, e.high)
				at += 8
			}
		}
		return at
	}
	segments(gdt+8, gdtEntries())
	segments(ldt, ldtEntries())
	for v := range 256 {
		dpl := uint16(0)
		if v == 3 || v == 4 || v >= 0x80 && v < 0x90 {
			dpl = 3
		}
		low, high := gate(0x08, TextBase+stubs+16*uint32(v), 14, dpl, 0)
		put(idt+16*v, low)
		put(idt+16*v+8, high)
		low, _ = gate(selectors()["CODE32_0"], TextBase+stubs32+16*uint32(v), 14, dpl, 0)
		put(idt32+8*v, low)
	}
	tasks(b, put)
	for i := data0; i < stacks; i += 8 {
		put(i, 0xDA7A_0000_0000_0000|uint64(i))
	}
	for _, at := range []int{data0, data1, data2, data3} {
		put(at+0x100, 0x80CD) // int 0x80
	}
	return b
}

// mapPages writes page tables. Those that only the harness uses are marked as accessed and dirty.
func mapPages(put func(at int, v uint64)) {
	const all = present | writable | ofUser
	put(pml4, pdpt|all|1<<5)
	put(pml4+8, testPDPT|all)
	put(pdpt, pd|all|1<<5)
	put(pdpt+8, pdUser|all|1<<5)
	put(pdpt+16, testPD|all)
	put(pdpt+24, pdAPIC|all|1<<5)
	for i := range Memory >> 21 {
		put(pd+8*i, uint64(i)<<21|present|writable|leaf|touched)
		put(pdUser+8*i, uint64(i)<<21|all|leaf|touched)
	}
	put(pdAPIC+8*(apic>>21&511), apic|present|writable|leaf|touched|1<<4)
	put(testPDPT, testPD|all)
	put(testPDPT+8, 0|all|leaf)
	put(testPD, testPT|all)
	put(testPD+8, arena|all|leaf)
	for i := range 4 {
		put(testPT+8*i, uint64(data0+page*i)|all)
	}
}

// tasks writes the task segments: with maps of ports that allow 0x80 and 0x84 to 0x87, and say at their end what
// the processor wants to read there.
func tasks(b []byte, put func(at int, v uint64)) {
	at := func(i int) []byte { return b[i-arena:] }
	for _, t := range []int{tss, tss + otherTSS} {
		for i := range 3 {
			binary.LittleEndian.PutUint64(at(t+4+8*i), uint64(stacks+page*(i+1)))
		}
		for i := range 7 {
			binary.LittleEndian.PutUint64(at(t+36+8*i), uint64(stacks+page*(i+4)))
		}
		binary.LittleEndian.PutUint16(at(t+0x66), 0x68)
	}
	s := selectors()
	for i, name := range []string{"DATA0", "DATA1", "DATA2"} {
		put(tss+tss32+4+8*i, uint64(s[name])<<32|uint64(stacks+page*(i+1)))
	}
	binary.LittleEndian.PutUint16(at(tss+tss32+0x66), 0x68)
	for _, t := range []int{tss, tss + tss32} {
		bits := at(t + 0x68)[:0x23]
		for i := range bits {
			bits[i] = 0xFF
		}
		bits[0x10] = 0x0E
	}
}
