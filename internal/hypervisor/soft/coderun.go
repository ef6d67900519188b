package soft

import "github.com/mayfly-vm/mayfly/internal/hypervisor/soft/decode"

// decodeRun decodes from an address on. A run ends after an instruction that always branches or serialises, after maxRun of
// them, at the end of its page, before an instruction that can't be decoded, and where it comes to the start of another.
func (c *CPU) decodeRun(addr uint64, page uint16, bytes *[pageSize]byte) *uop {
	k := &c.code
	run := k.scratch[:0]
	first := addr & (pageSize - 1)
	end := uop{do: onward}
	for off := first; len(run) < maxRun; {
		var was [decode.MaxLength]byte
		n := copy(was[:], bytes[off:])
		in, err := decode.Decode(was[:n], c.mode)
		if err != nil && len(run) > 0 {
			break
		}
		if err == decode.ErrShort {
			return c.decodeAcross(addr, page, bytes)
		}
		if err != nil {
			c.fault = faultOf(err)
			return nil
		}
		k.page[page].shared.mark(off, uint64(in.Len))
		if string(was[:in.Len]) != string(bytes[off:off+uint64(in.Len)]) {
			continue // written before it was marked
		}
		run = append(run, newUop(in, c.mode))
		off += uint64(in.Len)
		if always(&in) {
			return k.keep(page, first, c.paired(run))
		}
		if serialises(&in) {
			end.do = anew
			break
		}
		if off == pageSize {
			end.do = anew // the next page may be another one each time
			break
		}
		if u := k.startAt(page, off); u != nil && !u.crosses(off) {
			end.to = u
			break
		}
	}
	return k.keep(page, first, append(c.paired(run), end))
}

// paired has each comparison execute the branch that follows as well, but where instructions are counted.
func (c *CPU) paired(run []uop) []uop {
	for i := 1; i < len(run) && !c.clock.counted; i++ {
		run[i-1].pair(&run[i])
	}
	return run
}

// always reports whether an instruction always branches.
func always(in *decode.Inst) bool {
	if in.Map != decode.One {
		return false
	}
	switch in.Opcode {
	case 0xC2, 0xC3, 0xE8, 0xE9, 0xEB:
		return true
	case 0xFF:
		return in.Ext() == 2 || in.Ext() == 4
	}
	return false
}

// serialises reports whether what follows an instruction may be elsewhere, or another one, when it is executed, or
// whether an interrupt may come that could not before.
func serialises(in *decode.Inst) bool {
	o := in.Opcode
	switch in.Map {
	case decode.One:
		switch {
		case o == 0x07 || o == 0x17 || o == 0x1F || o == 0x8E, o >= 0x9A && o <= 0x9D, o >= 0xC8 && o <= 0xCF && o != 0xC9, o >= 0x6C && o <= 0x6F, o == 0xF1, o == 0xF4, o == 0xFA, o == 0xFB,
			o == 0xEA, o == 0xFF && (in.Ext() == 3 || in.Ext() == 5), o >= 0xE4 && o <= 0xE7, o >= 0xEC && o <= 0xEF:
			return true
		}
	case decode.Two:
		switch {
		case o <= 0x0B, o >= 0x20 && o <= 0x23, o >= 0x30 && o <= 0x37, o == 0xA1 || o == 0xA9, o == 0xA2, o == 0xAA, o == 0xB2 || o == 0xB4 || o == 0xB5:
			return true
		}
	}
	return false
}

// onward and anew end a run that goes on after it: they are no instructions. After anew the target is found again.
func onward(c *CPU, _ *uop) status {
	c.retired--
	return branch
}

func anew(c *CPU, _ *uop) status {
	c.retired--
	return jumped
}

// decodeAcross decodes an instruction that reaches into the next page.
func (c *CPU) decodeAcross(addr uint64, page uint16, first *[pageSize]byte) *uop {
	k := &c.code
	if k.full() {
		k.forget()
		if page, first = c.codePageAt(addr); first == nil {
			return nil
		}
	}
	second, rest := c.codePageAt(c.wrap(addr&^(pageSize-1) + pageSize))
	if rest == nil {
		return nil
	}
	off := addr & (pageSize - 1)
	var both [2 * decode.MaxLength]byte
	n := copy(both[:], first[off:])
	copy(both[n:], rest[:decode.MaxLength])
	in, err := decode.Decode(both[:], c.mode)
	if err != nil {
		c.fault = faultOf(err)
		return nil
	}
	low := min(n, int(in.Len)) // all of it, where it has been written since it was found to cross
	high := int(in.Len) - low
	k.page[page].shared.mark(off, uint64(low))
	k.page[second].shared.mark(0, uint64(high))
	if string(both[:low]) != string(first[off:off+uint64(low)]) || string(both[n:n+high]) != string(rest[:high]) {
		return c.decodeAcross(addr, page, first)
	}
	key := startKey(page, off)
	run := []uop{newUop(in, c.mode), {do: anew}}
	k.crossing[key] = second
	if u := k.startAt(page, off); u != nil {
		*u = run[0]
		return u
	}
	return k.keep(page, off, run)
}
