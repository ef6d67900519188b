package hypervisor

import (
	"slices"
	"testing"
)

func TestRestrict(t *testing.T) {
	const all = ^uint32(0)
	full := func(leaf, index uint32, indexed bool) CPUID {
		return CPUID{Leaf: leaf, Index: index, Indexed: indexed, EAX: all, EBX: all, ECX: all, EDX: all}
	}
	host := []CPUID{full(0, 0, false), full(1, 0, false), full(7, 0, true), full(7, 1, true), full(0xA, 0, false), full(0x1C, 0, true), full(0x23, 0, true),
		full(0x40000000, 0, false), full(0x40000001, 0, false), full(0x80000001, 0, false), full(0x80000008, 0, false),
		full(0x8000000A, 0, false), full(0x8000001B, 0, false), full(0x80000022, 0, false)}
	type key struct{ leaf, index uint32 }
	nested := map[key]CPUID{ // the bits that are taken away
		{1, 0}:          {ECX: 1 << 5},
		{0x80000001, 0}: {ECX: 1<<2 | 1<<12},
		{0x8000000A, 0}: {EAX: all, EBX: all, ECX: all, EDX: all},
	}
	pmu := map[key]CPUID{
		{1, 0}:          {ECX: 1<<15 | 1<<2, EDX: 1 << 21},
		{7, 0}:          {EDX: 1 << 19},
		{7, 1}:          {EAX: 1 << 8},
		{0xA, 0}:        {EAX: all, EBX: all, ECX: all, EDX: all},
		{0x1C, 0}:       {EAX: all, EBX: all, ECX: all, EDX: all},
		{0x23, 0}:       {EAX: all, EBX: all, ECX: all, EDX: all},
		{0x80000001, 0}: {ECX: 1<<10 | 1<<23 | 1<<24 | 1<<28},
		{0x8000001B, 0}: {EAX: all, EBX: all, ECX: all, EDX: all},
		{0x80000022, 0}: {EAX: all, EBX: all, ECX: all, EDX: all},
	}
	for _, f := range []Features{{}, {Nested: true}, {PMU: true}, {Nested: true, PMU: true}} {
		got := slices.Clone(host)
		Restrict(got, f)
		for i, c := range got {
			want, k := host[i], key{c.Leaf, c.Index}
			for m, on := range map[*map[key]CPUID]bool{&nested: f.Nested, &pmu: f.PMU} {
				if d := (*m)[k]; !on {
					want.EAX, want.EBX, want.ECX, want.EDX = want.EAX&^d.EAX, want.EBX&^d.EBX, want.ECX&^d.ECX, want.EDX&^d.EDX
				}
			}
			if c != want {
				t.Errorf("%+v: leaf %#x.%d is %+v, want %+v", f, c.Leaf, c.Index, c, want)
			}
		}
		if Offered(got) != f {
			t.Errorf("a list restricted to %+v offers %+v", f, Offered(got))
		}
	}
}
