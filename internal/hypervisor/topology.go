package hypervisor

import "math/bits"

// CPUID leaves that say where a processor stands, and who its hypervisor is.
const (
	leafFeatures      = 0x1
	leafCacheIntel    = 0x4
	leafTopology      = 0xB
	leafTopologyV2    = 0x1F
	leafHypervisor    = 0x40000000
	leafTiming        = 0x40000010
	leafExtFeatures   = 0x80000001
	leafSizes         = 0x80000008
	leafCacheAMD      = 0x8000001D
	leafProcessorTopo = 0x8000001E
)

// lapicBusKHz is the frequency that KVM's local APIC timer counts at.
const lapicBusKHz = 1000000

// Place lays the topology of one socket with n cores of one thread each over
// the host's leaves, for the processor with the given APIC id, and adds leaf
// 0x40000010: the frequencies of TSC and local APIC in kHz, so that a guest
// need not measure them against a timer that is not there. The input is left as
// it is.
//
// Sources: Intel SDM volume 3, chapter 10.9 (leaves 1, 4, 0xB, 0x1F); AMD APM
// volume 3, appendix E (0x80000008, 0x8000001D, 0x8000001E).
func Place(host []CPUID, id, n, tscKHz int) []CPUID {
	width := uint32(bits.Len(uint(n - 1))) // bits of the APIC id that number cores
	out := make([]CPUID, 0, len(host)+8)
	for _, c := range host {
		switch c.Leaf {
		case leafFeatures:
			logical := min(uint32(1)<<width, 255)
			c.EBX = c.EBX&0xFFFF | logical<<16 | uint32(id)<<24
			c.ECX |= 1<<31 | 1<<24 | 1<<21 // hypervisor, TSC deadline, x2APIC
			if c.EDX &^= 1 << 28; n > 1 {
				c.EDX |= 1 << 28 // HTT: the counts above are valid
			}
		case leafCacheIntel:
			if c.EAX&0x1F == 0 {
				break
			}
			shared := uint32(0) // L1 and L2 belong to a core
			if level := c.EAX >> 5 & 7; level >= 3 {
				shared = 1<<width - 1
			}
			c.EAX = c.EAX&0x3FFF | shared<<14 | min(uint32(1)<<width-1, 63)<<26
		case leafTopology, leafTopologyV2:
			continue // written below, whatever the host's depth
		case leafHypervisor:
			c.EAX = max(c.EAX, leafTiming)
		case leafTiming:
			continue
		case leafSizes:
			c.ECX = c.ECX&^0xF0FF | width<<12 | uint32(n-1)
		case leafCacheAMD:
			if c.EAX&0x1F == 0 {
				break
			}
			shared := uint32(0)
			if level := c.EAX >> 5 & 7; level >= 3 {
				shared = uint32(n - 1)
			}
			c.EAX = c.EAX&0x3FFF | shared<<14
		case leafProcessorTopo:
			c.EAX, c.EBX, c.ECX = uint32(id), uint32(id)&0xFF, 0
		}
		out = append(out, c)
	}
	for _, leaf := range []uint32{leafTopology, leafTopologyV2} {
		if leaf == leafTopologyV2 && !has(host, leafTopologyV2) {
			continue
		}
		out = append(out,
			CPUID{Leaf: leaf, Index: 0, Indexed: true, EAX: 0, EBX: 1, ECX: 1 << 8, EDX: uint32(id)},
			CPUID{Leaf: leaf, Index: 1, Indexed: true, EAX: width, EBX: uint32(n), ECX: 2<<8 | 1, EDX: uint32(id)},
			CPUID{Leaf: leaf, Index: 2, Indexed: true, ECX: 2, EDX: uint32(id)})
	}
	if tscKHz > 0 {
		out = append(out, CPUID{Leaf: leafTiming, EAX: uint32(tscKHz), EBX: lapicBusKHz})
	}
	return out
}

func has(list []CPUID, leaf uint32) bool {
	for i := range list {
		if list[i].Leaf == leaf {
			return true
		}
	}
	return false
}
