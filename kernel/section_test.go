package kernel

import (
	"slices"
	"testing"
)

func TestZeroRanges(t *testing.T) {
	const kib = 1 << 10
	segments := []Segment{
		{Offset: 0x1000, Vaddr: 0x400000, Paddr: 0x100000, Filesz: 1024 * kib, Memsz: 2048 * kib},
		{Offset: 0x201000, Vaddr: 0x800000, Paddr: 0x800000, Filesz: 256 * kib, Memsz: 256 * kib},
	}
	bss := func(addr, size uint64) section {
		return section{typ: shtNoBits, flags: shfAlloc, addr: addr, offset: 0x77, size: size}
	}
	for _, c := range []struct {
		name string
		list []section
		want []FileRange
	}{
		{"none", nil, nil},
		{"one inside", []section{bss(0x410000, 128*kib)}, []FileRange{{0x11000, 128 * kib}}},
		{"touching and unsorted", []section{bss(0x430000, 64*kib), bss(0x410000, 128*kib)}, []FileRange{{0x11000, 192 * kib}}},
		{"beyond what the file has", []section{bss(0x4F0000, 512*kib)}, []FileRange{{0xF1000, 64 * kib}}},
		{"after what the file has", []section{bss(0x500000, 512*kib)}, nil},
		{"in no segment", []section{bss(0x700000, 512*kib)}, nil},
		{"too little", []section{bss(0x410000, 64*kib-1)}, nil},
		{"wrapping", []section{bss(0x410000, ^uint64(0))}, nil},
		{"of threads", []section{{typ: shtNoBits, flags: shfAlloc | shfTLS, addr: 0x410000, size: 128 * kib}}, nil},
		{"not of the program", []section{{typ: shtNoBits, addr: 0x410000, size: 128 * kib}}, nil},
		{"shared with contents", []section{bss(0x800000, 128*kib), {typ: 1, offset: 0x220FFF, size: 2}}, nil},
		{"next to contents", []section{bss(0x800000, 128*kib), {typ: 1, offset: 0x221000, size: 2}}, []FileRange{{0x201000, 128 * kib}}},
		{"shared with what wraps", []section{bss(0x800000, 128*kib), {typ: 1, offset: 16, size: ^uint64(0)}}, nil},
	} {
		if got := zeroRanges(c.list, segments); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
