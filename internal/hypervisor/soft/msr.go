package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// msrs are model-specific registers that only keep a value.
type msrs struct {
	star, lstar, cstar, fmask uint64
	kernelGS, tscAux          uint64
	sysenter                  [3]uint64 // CS, ESP, EIP
	misc, pat, specControl    uint64
	mtrr                      map[uint32]uint64
}

// Numbers of model-specific registers. Source: Intel SDM volume 4.
const (
	msrTSC          = 0x10
	msrAPICBase     = 0x1B
	msrSpecControl  = 0x48
	msrPredictCmd   = 0x49
	msrBIOSSign     = 0x8B
	msrArchCaps     = 0x10A
	msrMTRRCap      = 0xFE
	msrMCGCap       = 0x179
	msrMCGStatus    = 0x17A
	msrSysenterCS   = 0x174
	msrMiscEnable   = 0x1A0
	msrDebugControl = 0x1D9
	msrMTRRFirst    = 0x200
	msrMTRRLast     = 0x20F
	msrPAT          = 0x277
	msrMTRRDefault  = 0x2FF
	msrTSCDeadline  = 0x6E0
	msrX2APIC       = 0x800
	msrX2APICLast   = 0x8FF
	msrEFER         = 0xC000_0080
	msrSTAR         = 0xC000_0081
	msrLSTAR        = 0xC000_0082
	msrCSTAR        = 0xC000_0083
	msrFMASK        = 0xC000_0084
	msrFSBase       = 0xC000_0100
	msrGSBase       = 0xC000_0101
	msrKernelGS     = 0xC000_0102
	msrTSCAux       = 0xC000_0103
)

// archCapabilities say that what has been found of speculative execution since 2018 does not apply to guest code, of which
// no instruction is executed before its turn: RDCL_NO, IBRS_ALL, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO,
// SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO and ITS_NO.
const archCapabilities = 1<<0 | 1<<1 | 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<8 | 1<<13 | 1<<14 | 1<<15 | 1<<20 | 1<<24 | 1<<26 | 1<<27 | 1<<62

// kept are those that keep what is written, and have no effect.
func (c *CPU) kept(index uint32) *uint64 {
	m := &c.msr
	switch index {
	case msrSTAR:
		return &m.star
	case msrLSTAR:
		return &m.lstar
	case msrCSTAR:
		return &m.cstar
	case msrFMASK:
		return &m.fmask
	case msrKernelGS:
		return &m.kernelGS
	case msrTSCAux:
		return &m.tscAux
	case msrSysenterCS, msrSysenterCS + 1, msrSysenterCS + 2:
		return &m.sysenter[index-msrSysenterCS]
	case msrMiscEnable:
		return &m.misc
	case msrPAT:
		return &m.pat
	case msrSpecControl:
		return &m.specControl
	}
	return nil
}

// canonical are those with an address.
func canonical(index uint32) bool {
	switch index {
	case msrLSTAR, msrCSTAR, msrKernelGS, msrFSBase, msrGSBase, msrSysenterCS + 1, msrSysenterCS + 2:
		return true
	}
	return false
}

// readMSR returns a register's value; ok is false where there is none.
func (c *CPU) readMSR(index uint32) (v uint64, ok bool) {
	if p := c.kept(index); p != nil {
		return *p, true
	}
	switch {
	case index == msrEFER:
		return c.efer, true
	case index == msrFSBase:
		return c.segments[decode.FS].base, true
	case index == msrGSBase:
		return c.segments[decode.GS].base, true
	case index == msrTSC:
		return c.tsc(), true
	case index == msrBIOSSign, index == msrDebugControl:
		return 0, true
	case index == msrArchCaps:
		return archCapabilities, true
	case index == msrMCGCap, index == msrMCGStatus: // no banks of errors
		return 0, true
	case index == msrMTRRCap:
		return 1<<10 | 1<<8 | 8, true
	case isMTRR(index):
		return c.msr.mtrr[index], true
	case c.apic == nil:
		return 0, false
	case index == msrAPICBase:
		return c.apic.base, true
	case index == msrTSCDeadline:
		return c.apic.deadline(), true
	case index >= msrX2APIC && index <= msrX2APICLast:
		return c.apic.readX2(index - msrX2APIC)
	}
	return 0, false
}

// writeMSR sets one; false where there is none, or the value can't be.
func (c *CPU) writeMSR(index uint32, v uint64) bool {
	switch {
	case canonical(index) && !isCanonical(v), index == msrPAT && !validPAT(v), index == msrTSCAux && v>>32 != 0:
		return false
	}
	if p := c.kept(index); p != nil {
		*p = v
		return true
	}
	switch {
	case index == msrEFER:
		if v&^eferKnown != 0 || c.cr0&cr0PG != 0 && (v^c.efer)&eferLME != 0 {
			return false
		}
		c.efer = v&^eferLMA | c.efer&eferLMA
		c.flushTLB(true)
	case index == msrFSBase, index == msrGSBase:
		s := decode.FS + decode.Seg(index-msrFSBase)
		c.segments[s].base = v
		c.setBase(s)
	case index == msrTSC:
		c.setTSC(v)
	case index == msrKVMWallClock:
		return c.setWallClock(v)
	case index == msrKVMSystemTime:
		return c.setSystemTime(v)
	case index == msrBIOSSign, index == msrPredictCmd:
	case index == msrDebugControl, index == msrMCGStatus:
		return v == 0 // they have no bits
	case isMTRR(index):
		if !c.validMTRR(index, v) {
			return false
		}
		if c.msr.mtrr == nil {
			c.msr.mtrr = map[uint32]uint64{}
		}
		c.msr.mtrr[index] = v
	case c.apic == nil:
		return false
	case index == msrAPICBase:
		return c.apic.setBase(v)
	case index == msrTSCDeadline:
		c.apic.setDeadline(v)
	case index >= msrX2APIC && index <= msrX2APICLast:
		return c.apic.writeX2(index-msrX2APIC, v)
	default:
		return false
	}
	return true
}

func rdmsr(c *CPU, _ *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	v, ok := c.readMSR(uint32(c.R[rcx]))
	if !ok {
		return c.raise(vectorGP)
	}
	c.R[rax], c.R[rdx] = v&0xFFFF_FFFF, v>>32
	return next
}

func wrmsr(c *CPU, _ *uop) status {
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	if !c.writeMSR(uint32(c.R[rcx]), c.R[rdx]<<32|c.R[rax]&0xFFFF_FFFF) {
		return c.raise(vectorGP)
	}
	return next
}

// rdpmc is RDPMC: there are no counters.
func rdpmc(c *CPU, _ *uop) status { return c.raise(vectorGP) }

func rdtsc(c *CPU, _ *uop) status {
	const tsd = 1 << 2
	if c.cr4&tsd != 0 && c.cpl != 0 {
		return c.raise(vectorGP)
	}
	v := c.tsc()
	c.R[rax], c.R[rdx] = v&0xFFFF_FFFF, v>>32
	return next
}
