package soft

import (
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
)

// features are the leaves of CPUID: x86-64-v2, as one of Intel's, with AES and
// PCLMULQDQ where the host has them.
func features() []hypervisor.CPUID {
	const (
		fpu, pse, tsc, msr, pae, mce, cx8, apicBit, sep, mtrrBit, pge, mca, cmov, pat, clfsh, mmx, fxsr, sse, sse2 = 1 << 0, 1 << 3, 1 << 4, 1 << 5, 1 << 6,
			1 << 7, 1 << 8, 1 << 9, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 19, 1 << 23, 1 << 24, 1 << 25, 1 << 26
		sse3, ssse3, cx16, sse41, sse42, x2apic, movbeBit, popcntBit, deadline, rdrandBit, hypervisorBit = 1 << 0, 1 << 9, 1 << 13, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 30, 1 << 31
		smepBit, erms, noSelectors, rdseedBit, fsrm, ibrs, stibp, archCapabilities, ssbd                 = 1 << 7, 1 << 9, 1 << 13, 1 << 18, 1 << 4, 1 << 26, 1 << 27, 1 << 29, 1 << 31
	)
	host, ofHost := native.HostFeatures(), uint32(0)
	if host.AES {
		ofHost |= 1 << 25
	}
	if host.PCLMULQDQ {
		ofHost |= 1 << 1
	}
	return []hypervisor.CPUID{
		{Leaf: 0, EAX: 0xD, EBX: 0x756E6547, ECX: 0x6C65746E, EDX: 0x49656E69},
		{Leaf: 1, EAX: 6<<8 | 0xF<<4 | 1<<16, EBX: 8 << 8,
			ECX: sse3 | ssse3 | cx16 | sse41 | sse42 | x2apic | movbeBit | popcntBit | deadline | rdrandBit | hypervisorBit | ofHost,
			EDX: fpu | 1<<2 | pse | tsc | msr | pae | mce | cx8 | apicBit | sep | mtrrBit | pge | mca | cmov | pat | clfsh | mmx | fxsr | sse | sse2},
		{Leaf: 4, Indexed: true, Index: 0, EAX: 0},
		// The local APIC's timer always runs: without that Linux would have neither timers of high resolution nor an idle
		// processor without ticks.
		{Leaf: 6, EAX: 1 << 2},
		// noSelectors: x87's pointers have no FCS and FDS.
		{Leaf: 7, Indexed: true, EAX: 2, EBX: smepBit | erms | noSelectors | rdseedBit, EDX: fsrm | ibrs | stibp | archCapabilities | ssbd},
		// IA32_SPEC_CTRL.BHI_DIS_S, without which Linux clears a branch history at each system call.
		{Leaf: 7, Indexed: true, Index: 2, EDX: 1 << 4},
		{Leaf: 0x40000000, EAX: 0x40000001, EBX: 0x4B4D564B, ECX: 0x564B4D56, EDX: 0x4D},
		{Leaf: 0x40000001, EAX: kvmFeatures},
		{Leaf: 0x80000000, EAX: 0x80000008},
		{Leaf: 0x80000001, ECX: 1, EDX: 1<<11 | 1<<20 | 1<<26 | 1<<27 | 1<<29},
		{Leaf: 0x80000002, EAX: 0x66_79_61_4D, EBX: 0x73_20_79_6C, ECX: 0x77_74_66_6F, EDX: 0x20_65_72_61},
		{Leaf: 0x80000003, EAX: 0x63_6F_72_70, EBX: 0x6F_73_73_65, ECX: 0x72},
		{Leaf: 0x80000007, EDX: 1 << 8},
		{Leaf: 0x80000008, EAX: 48<<8 | 46},
	}
}

// SetCPUID implements hypervisor.Processor.
func (c *CPU) SetCPUID(list []hypervisor.CPUID) error {
	c.cpuid = list
	return nil
}

// leaf is a leaf as the guest sees it: one beyond the highest has that of the highest basic one.
func (c *CPU) leaf(leaf, index uint32) (e hypervisor.CPUID) {
	highest := uint32(0)
	for i := range c.cpuid {
		if l := &c.cpuid[i]; l.Leaf == leaf && (!l.Indexed || l.Index == index) {
			return *l
		} else if l.Leaf == leaf&0xC000_0000 {
			highest = l.EAX
		}
	}
	if leaf > highest && leaf < 0x4000_0000 && highest != 0 {
		return c.leaf(highest, index)
	}
	return hypervisor.CPUID{}
}

// cpuid is CPUID: a leaf that is not there has those of the highest basic one.
func cpuid(c *CPU, _ *uop) status {
	leaf, index := uint32(c.R[rax]), uint32(c.R[rcx])
	e := c.leaf(leaf, index)
	if leaf == 1 && c.cr4&(1<<18) != 0 {
		e.ECX |= 1 << 27
	}
	c.R[rax], c.R[rbx], c.R[rcx], c.R[rdx] = uint64(e.EAX), uint64(e.EBX), uint64(e.ECX), uint64(e.EDX)
	return next
}
