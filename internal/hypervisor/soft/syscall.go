package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// System calls without tables. Source: Intel SDM volume 2, SYSCALL, SYSRET, SYSENTER and SYSEXIT.

func syscall(c *CPU, u *uop) status {
	if c.efer&eferSCE == 0 || c.mode != decode.Mode64 {
		return c.raise(vectorUD)
	}
	c.R[rcx], c.R[11] = c.RIP+uint64(u.Len), c.Flags()&^flagRF
	c.setFlags(c.Flags() &^ c.msr.fmask &^ flagRF)
	selector := uint16(c.msr.star>>32) &^ 3
	c.flat(selector, 0, segmentLong)
	c.RIP = c.msr.lstar
	c.stepDecided()
	return jumped
}

func sysret(c *CPU, u *uop) status {
	if c.efer&eferSCE == 0 || c.mode != decode.Mode64 {
		return c.raise(vectorUD)
	}
	if c.cpl != 0 {
		return c.raise(vectorGP)
	}
	to, selector, kind := c.R[rcx]&0xFFFF_FFFF, uint16(c.msr.star>>48), uint16(segmentBig)
	if u.W {
		to, selector, kind = c.R[rcx], selector+16, segmentLong
		if !isCanonical(to) {
			return c.raise(vectorGP)
		}
	}
	rflags := c.R[11] & (flagsKnown &^ flagRF)
	c.flat(selector|3, 3, kind)
	c.segments[decode.SS].selector = uint16(c.msr.star>>48) + 8 | 3
	c.setFlags(rflags)
	c.RIP = to
	c.stepDecided()
	return jumped
}

// sysenter and sysexit are those of the model-specific registers IA32_SYSENTER_CS, ESP and EIP.
func sysenter(c *CPU, _ *uop) status {
	cs := uint16(c.msr.sysenter[0]) &^ 3
	if c.cr0&cr0PE == 0 || cs == 0 {
		return c.raise(vectorGP)
	}
	kind, bits := uint16(segmentBig), uint64(0xFFFF_FFFF)
	if c.efer&eferLMA != 0 {
		kind, bits = segmentLong, ^uint64(0)
	}
	c.setFlags(c.Flags() &^ (flagIF | flagRF))
	c.flat(cs, 0, kind)
	c.R[rsp], c.RIP = c.msr.sysenter[1]&bits, c.msr.sysenter[2]&bits
	return jumped
}

func sysexit(c *CPU, u *uop) status {
	cs := uint16(c.msr.sysenter[0]) &^ 3
	if c.cr0&cr0PE == 0 || cs == 0 || c.cpl != 0 {
		return c.raise(vectorGP)
	}
	to, sp := c.R[rdx], c.R[rcx]
	if u.W {
		if !isCanonical(to) || !isCanonical(sp) {
			return c.raise(vectorGP)
		}
		c.flat(cs+32|3, 3, segmentLong)
	} else {
		to, sp = to&0xFFFF_FFFF, sp&0xFFFF_FFFF
		c.flat(cs+16|3, 3, segmentBig)
	}
	c.R[rsp], c.RIP = sp, to
	return jumped
}

// flat has code and stack segments of 4 GiB, as these instructions make them.
func (c *CPU) flat(selector uint16, cpl uint8, kind uint16) {
	const all = segmentPresent | segmentS | segmentWrite | segmentAccessed | segmentGranular
	c.segments[decode.SS] = segment{selector: selector + 8, attr: all | segmentBig | uint16(cpl)<<5, limit: ^uint32(0)}
	c.setCode(segment{selector: selector, attr: all | segmentCode | kind | uint16(cpl)<<5, limit: ^uint32(0)}, cpl)
}
