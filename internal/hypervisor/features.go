package hypervisor

// CPUID leaves of performance counters and of nested virtualisation.
const (
	leafPerfMon      = 0xA        // architectural performance monitoring (Intel)
	leafStructured   = 0x7        // structured extended features
	leafLBR          = 0x1C       // last branch records
	leafPerfMonExt   = 0x23       // architectural performance monitoring, extended
	leafSVM          = 0x8000000A // SVM revision and features
	leafIBS          = 0x8000001B // instruction-based sampling
	leafPerfMonAMDV2 = 0x80000022
)

// Features are what a guest gets only on request: the more of a host's KVM a
// guest reaches, the more of it can be attacked.
type Features struct {
	Nested bool // VMX or SVM: the guest can run machines of its own
	PMU    bool // performance counters
}

// Restrict takes out of list, in place, what f does not have.
//
// Sources: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
func Restrict(list []CPUID, f Features) {
	for i := range list {
		if !f.Nested {
			list[i].hideNested()
		}
		if !f.PMU {
			list[i].hidePMU()
		}
	}
}

func (c *CPUID) hideNested() {
	switch c.Leaf {
	case leafFeatures:
		c.ECX &^= 1 << 5 // VMX
	case leafExtFeatures:
		c.ECX &^= 1<<2 | 1<<12 // SVM, SKINIT
	case leafSVM:
		c.clear()
	}
}

func (c *CPUID) hidePMU() {
	switch c.Leaf {
	case leafFeatures:
		c.ECX &^= 1<<15 | 1<<2 // PDCM, 64-bit debug store
		c.EDX &^= 1 << 21      // debug store
	case leafStructured:
		if c.Index == 0 {
			c.EDX &^= 1 << 19 // architectural LBR
		} else if c.Index == 1 {
			c.EAX &^= 1 << 8 // leaf 0x23
		}
	case leafExtFeatures:
		c.ECX &^= 1<<10 | 1<<23 | 1<<24 | 1<<28 // IBS; core, northbridge and last level cache counters
	case leafPerfMon, leafLBR, leafPerfMonExt, leafIBS, leafPerfMonAMDV2:
		c.clear()
	}
}

func (c *CPUID) clear() { c.EAX, c.EBX, c.ECX, c.EDX = 0, 0, 0, 0 }

// Offered is what of Features a host's list has.
func Offered(list []CPUID) (f Features) {
	for i := range list {
		c := &list[i]
		switch c.Leaf {
		case leafFeatures:
			f.Nested = f.Nested || c.ECX&(1<<5) != 0
		case leafExtFeatures:
			f.Nested = f.Nested || c.ECX&(1<<2) != 0
			f.PMU = f.PMU || c.ECX&(1<<23) != 0
		case leafPerfMon:
			f.PMU = f.PMU || c.EAX&0xFF != 0 // version
		}
	}
	return f
}
