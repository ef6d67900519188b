package hypervisor

import (
	"fmt"
	"slices"
	"testing"
)

// hosts are the leaves that matter here, as KVM gives them on an Intel and an
// AMD host with many processors, and on one that says nothing.
var hosts = map[string][]CPUID{
	"intel": {
		{Leaf: 0, EAX: 0x1F},
		{Leaf: 1, EAX: 0x806F8, EBX: 0x4D_40_08_00, ECX: 0xFFFA3203, EDX: 0x0F8BFBFF},
		{Leaf: 4, Index: 0, Indexed: true, EAX: 0xFC004121, EBX: 0x02C0003F, ECX: 0x3F},  // L1
		{Leaf: 4, Index: 2, Indexed: true, EAX: 0xFC004143, EBX: 0x03C0003F, ECX: 0x7FF}, // L2
		{Leaf: 4, Index: 3, Indexed: true, EAX: 0xFC1FC163, EBX: 0x0380003F, ECX: 0x1BFFF},
		{Leaf: 4, Index: 4, Indexed: true},
		{Leaf: 0xB, Index: 0, Indexed: true, EAX: 1, EBX: 2, ECX: 0x100, EDX: 0x4D},
		{Leaf: 0xB, Index: 1, Indexed: true, EAX: 7, EBX: 96, ECX: 0x201, EDX: 0x4D},
		{Leaf: 0x1F, Index: 0, Indexed: true, EAX: 1, EBX: 2, ECX: 0x100, EDX: 0x4D},
		{Leaf: 0x40000000, EAX: 0x40000001, EBX: 0x4B4D564B},
		{Leaf: 0x80000008, EAX: 0x302E30},
	},
	"amd": {
		{Leaf: 0, EAX: 0x10},
		{Leaf: 1, EAX: 0xA10F11, EBX: 0x22_80_08_00, ECX: 0xFEDA3203, EDX: 0x178BFBFF},
		{Leaf: 0xB, Index: 0, Indexed: true, EAX: 1, EBX: 2, ECX: 0x100, EDX: 0x22},
		{Leaf: 0x40000000, EAX: 0x40000001, EBX: 0x4B4D564B},
		{Leaf: 0x40000010, EAX: 1, EBX: 2},
		{Leaf: 0x80000008, EAX: 0x303030, EBX: 0x191, ECX: 0x707F, EDX: 0x10007},
		{Leaf: 0x8000001D, Index: 0, Indexed: true, EAX: 0x4121},
		{Leaf: 0x8000001D, Index: 2, Indexed: true, EAX: 0x4143},
		{Leaf: 0x8000001D, Index: 3, Indexed: true, EAX: 0x3C163},
		{Leaf: 0x8000001D, Index: 4, Indexed: true},
		{Leaf: 0x8000001E, EAX: 0x22, EBX: 0x111, ECX: 0x301},
	},
	"bare": {{Leaf: 0, EAX: 1}, {Leaf: 1, EBX: 0x22_80_08_00, EDX: 1 << 28}},
}

func find(list []CPUID, leaf, index uint32) *CPUID {
	for i := range list {
		if c := &list[i]; c.Leaf == leaf && (!c.Indexed || c.Index == index) {
			return c
		}
	}
	return nil
}

func TestPlace(t *testing.T) {
	// The bits of an APIC id that number the cores of n, so that 1<<bits is n rounded up.
	width := map[int]uint32{1: 0, 2: 1, 3: 2, 4: 2, 16: 4, 255: 8}
	for name, host := range hosts {
		for n, bits := range width {
			for _, id := range slices.Compact([]int{0, n / 2, n - 1}) {
				t.Run(fmt.Sprintf("%s, %d of %d", name, id, n), func(t *testing.T) {
					before := slices.Clone(host)
					got := Place(host, id, n, 2_600_000)
					if !slices.Equal(host, before) {
						t.Error("the host's list was changed")
					}
					placed(t, host, got, uint32(id), uint32(n), bits)
				})
			}
		}
	}
}

func placed(t *testing.T, host, got []CPUID, id, n, bits uint32) {
	is := func(what string, got, want uint32) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %#x, want %#x", what, got, want)
		}
	}
	one := find(got, 1, 0)
	is("initial APIC id", one.EBX>>24, id)
	is("addressable ids in the package", one.EBX>>16&0xFF, min(uint32(1)<<bits, 255))
	is("brand and cache line", one.EBX&0xFFFF, 0x0800)
	is("hypervisor, TSC deadline, x2APIC", one.ECX&(1<<31|1<<24|1<<21), 1<<31|1<<24|1<<21)
	is("HTT", one.EDX>>28&1, b2u(n > 1))

	for i, want := range [][3]uint32{{0, 1, 1 << 8}, {bits, n, 2<<8 | 1}, {0, 0, 2}} {
		for _, leaf := range []uint32{0xB, 0x1F} {
			c := find(got, leaf, uint32(i))
			if leaf == 0x1F && find(host, 0x1F, 0) == nil {
				if c != nil {
					t.Error("leaf 0x1F, which the host lacks")
				}
				continue
			}
			is(fmt.Sprintf("leaf %#x.%d shift", leaf, i), c.EAX, want[0])
			is(fmt.Sprintf("leaf %#x.%d processors", leaf, i), c.EBX, want[1])
			is(fmt.Sprintf("leaf %#x.%d type and level", leaf, i), c.ECX, want[2])
			is(fmt.Sprintf("leaf %#x.%d x2APIC id", leaf, i), c.EDX, id)
		}
	}
	for _, leaf := range []uint32{4, 0x8000001D} {
		if find(host, leaf, 0) == nil {
			continue
		}
		for i := range uint32(4) {
			c, h := find(got, leaf, i), find(host, leaf, i)
			if c == nil {
				continue
			}
			shared := uint32(0) // L1 and L2 are a core's own
			if i == 3 {
				if shared = n - 1; leaf == 4 {
					shared = 1<<bits - 1 // rounded up there
				}
			}
			is(fmt.Sprintf("cache %#x.%d sharers", leaf, i), c.EAX>>14&0xFFF, shared)
			is(fmt.Sprintf("cache %#x.%d type and level", leaf, i), c.EAX&0x3FFF, h.EAX&0x3FFF)
			is(fmt.Sprintf("cache %#x.%d size", leaf, i), c.ECX, h.ECX)
			if leaf == 4 {
				is("cores in the package", c.EAX>>26, min(uint32(1)<<bits, 64)-1)
			}
		}
		is("the list of caches ends", find(got, leaf, 4).EAX, 0)
	}
	if h := find(host, 0x80000008, 0); h != nil {
		c := find(got, 0x80000008, 0)
		is("threads, less one", c.ECX&0xFF, n-1)
		is("APIC id size", c.ECX>>12&0xF, bits)
		is("address sizes", c.EAX, h.EAX)
	}
	if find(host, 0x8000001E, 0) != nil {
		c := find(got, 0x8000001E, 0)
		is("extended APIC id", c.EAX, id)
		is("core id and threads of a core", c.EBX&0xFFFF, id)
		is("nodes", c.ECX, 0)
	}
	if find(host, 0x40000000, 0) != nil {
		is("highest hypervisor leaf", find(got, 0x40000000, 0).EAX, 0x40000010)
		is("signature", find(got, 0x40000000, 0).EBX, 0x4B4D564B)
	}
	is("TSC frequency", find(got, 0x40000010, 0).EAX, 2_600_000)
	is("APIC frequency", find(got, 0x40000010, 0).EBX, 1_000_000)
	for i, c := range got {
		if d := find(got[i+1:], c.Leaf, c.Index); d != nil {
			t.Errorf("leaf %#x.%d is there twice", c.Leaf, c.Index)
		}
	}
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func TestUnknownFrequencyIsLeftOut(t *testing.T) {
	if find(Place(hosts["amd"], 0, 1, 0), 0x40000010, 0) != nil {
		t.Error("a leaf of frequencies that nobody knows")
	}
}

func TestExitKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for k := range NumExitKinds {
		if k.String() == "" || k.String() == "unknown" || seen[k.String()] {
			t.Errorf("kind %d is called %q", k, k)
		}
		seen[k.String()] = true
	}
	if NumExitKinds.String() != "unknown" {
		t.Error("a kind beyond the last has a name")
	}
}
