package soft

// VERR, VERW, LAR and LSL. Source: Intel SDM volume 2.

// peek reads a descriptor; found is false where there is none, which is no fault.
func (c *CPU) peek(selector uint16) (s segment, found bool, st status) {
	if selector&^3 == 0 {
		return s, false, next
	}
	c.fault = Fault{}
	s, _, ok := c.descriptor(selector, vectorGP)
	if !ok && (c.fault.Vector != vectorGP || c.bus.waiting) { // the table is not there
		return s, false, faulted
	}
	return s, ok, next
}

// visible reports whether a descriptor's privilege lets a selector be used.
func (c *CPU) visible(s *segment, selector uint16) bool {
	return s.is(segmentS|segmentCode|segmentConforming) || c.cpl <= s.dpl() && uint8(selector&3) <= s.dpl()
}

// verify is VERR and VERW.
func (c *CPU) verify(selector uint16, write bool) status {
	s, ok, st := c.peek(selector)
	if st != next {
		return st
	}
	switch {
	case !ok, !s.is(segmentS):
		ok = false
	case s.is(segmentCode):
		ok = !write && s.is(segmentWrite)
	case write:
		ok = s.is(segmentWrite)
	}
	c.flags.setBits(flagZF, flag(ok && c.visible(&s, selector), flagZF))
	return next
}

// accessRights is LAR and LSL.
func accessRights(c *CPU, u *uop) status {
	if c.cr0&cr0PE == 0 {
		return c.raise(vectorUD)
	}
	v, ok := c.rm(u, 2)
	if !ok {
		return faulted
	}
	s, ok, st := c.peek(uint16(v))
	if st != next {
		return st
	}
	rights := u.Opcode == 2
	if ok && !s.is(segmentS) {
		ok = hasRights(s.attr&15, c.efer&eferLMA != 0, rights)
	}
	ok = ok && c.visible(&s, uint16(v))
	c.flags.setBits(flagZF, flag(ok, flagZF))
	if !ok {
		return next
	}
	res := uint64(s.limit)
	if rights {
		res = uint64(s.attr&0xFF)<<8 | uint64(s.attr&0xF000)<<8
	}
	c.setReg(u, u.Reg, u.OperandSize, res)
	return next
}

// hasRights reports whether LAR, or LSL, reads a system descriptor of a type.
func hasRights(kind uint16, long, rights bool) bool {
	switch kind {
	case typeLDT, typeTSS, typeTSSBusy:
		return true
	case typeTSS16, typeTSS16Busy:
		return !long
	case typeCall16, typeTask:
		return rights && !long
	case typeCall:
		return rights
	}
	return false
}
