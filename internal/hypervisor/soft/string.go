package soft

import "unsafe"

// step is by how much string instructions go on.
func (c *CPU) step(n uint8) uint64 {
	if c.flags.other&flagDF != 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// advance adds to an index register, as wide as addresses are.
func (c *CPU) advance(u *uop, r int, by uint64) {
	c.setIndex(u, r, c.R[r]+by)
}

func (c *CPU) setIndex(u *uop, r int, v uint64) {
	if u.AddressSize == 2 {
		c.R[r] = c.R[r]&^0xFFFF | v&0xFFFF
		return
	}
	c.R[r] = v & mask(u.AddressSize)
}

func (c *CPU) source(u *uop) uint64 { return c.wrap(c.bases[u.Seg] + c.R[rsi]&mask(u.AddressSize)) }

func (c *CPU) destination(u *uop) uint64 { return c.wrap(c.bases[0] + c.R[rdi]&mask(u.AddressSize)) }

// repeated executes one of the string instructions, or all of a repetition. An exception leaves
// what is done: the instruction goes on where it was. until, if not nil, ends a repetition; bulk, if not nil, does many
// at once, where it can.
func (c *CPU) repeated(u *uop, once, until, bulk func() bool) status {
	if u.Rep == 0 {
		if !once() {
			return faulted
		}
		return next
	}
	m := mask(u.AddressSize)
	for c.R[rcx]&m != 0 {
		if bulk != nil && !c.attend.Load() && bulk() {
			continue
		}
		if !once() {
			return faulted
		}
		c.bus.finished()
		c.advance(u, rcx, ^uint64(0))
		if c.attend.Load() && c.R[rcx]&m != 0 && (until == nil || !until()) {
			c.debug.partial = true
			c.retired--   // it counts when it is completed
			return jumped // interrupts come in between
		}
		if until != nil && until() {
			break
		}
	}
	if u.AddressSize == 4 { // the upper half is cleared even where there was nothing to do
		c.R[rcx] &= m
	}
	return next
}

func movs(c *CPU, u *uop) status {
	n := u.OperandSize
	return c.repeated(u, func() bool {
		v, ok := c.load(c.source(u), n)
		if !ok || !c.store(c.destination(u), n, v) {
			return false
		}
		c.advance(u, rsi, c.step(n))
		c.advance(u, rdi, c.step(n))
		return true
	}, nil, func() bool { return c.moveMany(u, uint64(n)) })
}

func stos(c *CPU, u *uop) status {
	n := u.OperandSize
	return c.repeated(u, func() bool {
		if !c.store(c.destination(u), n, c.R[rax]) {
			return false
		}
		c.advance(u, rdi, c.step(n))
		return true
	}, nil, func() bool { return c.storeMany(u, uint64(n)) })
}

func lods(c *CPU, u *uop) status {
	n := u.OperandSize
	return c.repeated(u, func() bool {
		v, ok := c.load(c.source(u), n)
		if !ok {
			return false
		}
		c.setReg(u, rax, n, v)
		c.advance(u, rsi, c.step(n))
		return true
	}, nil, nil)
}

func (c *CPU) differs(u *uop) func() bool {
	return func() bool { return c.flags.zero() != (u.Rep == 0xF3) }
}

func cmps(c *CPU, u *uop) status {
	n := u.OperandSize
	return c.repeated(u, func() bool {
		a, ok := c.load(c.source(u), n)
		if !ok {
			return false
		}
		b, ok := c.load(c.destination(u), n)
		if !ok {
			return false
		}
		c.alu(aluCmp, n, a, b)
		c.advance(u, rsi, c.step(n))
		c.advance(u, rdi, c.step(n))
		return true
	}, c.differs(u), nil)
}

func scas(c *CPU, u *uop) status {
	n := u.OperandSize
	return c.repeated(u, func() bool {
		v, ok := c.load(c.destination(u), n)
		if !ok {
			return false
		}
		c.alu(aluCmp, n, c.R[rax]&mask(n), v)
		c.advance(u, rdi, c.step(n))
		return true
	}, c.differs(u), nil)
}

// many is how many elements of n bytes a repetition has that lie before the ends of the pages of some addresses; 0 where
// addresses do not ascend, or are not of 64 bits.
func (c *CPU) many(u *uop, n uint64, addrs ...uint64) uint64 {
	if u.AddressSize != 8 || c.flags.other&flagDF != 0 {
		return 0
	}
	count := c.R[rcx]
	for _, at := range addrs {
		count = min(count, (pageSize-at&(pageSize-1))/n)
	}
	return count
}

// moveMany is what MOVS does to the ends of the pages; false: nothing has been done.
func (c *CPU) moveMany(u *uop, n uint64) bool {
	from, to := c.source(u), c.destination(u)
	count := c.many(u, n, from, to)
	if count < 2 {
		return false
	}
	src, dst := c.bytes(from, int(count*n), accessRead), c.bytes(to, int(count*n), accessWrite)
	if src == nil || dst == nil {
		return false
	}
	// Where elements are read that have been written just before, they are not the old ones.
	if ahead := uintptr(unsafe.Pointer(&dst[0])) - uintptr(unsafe.Pointer(&src[0])); ahead != 0 && ahead < uintptr(len(src)) {
		return false
	}
	copy(dst, src)
	c.R[rsi] += count * n
	c.R[rdi] += count * n
	c.R[rcx] -= count
	return true
}

// storeMany is what STOS does to the end of the page.
func (c *CPU) storeMany(u *uop, n uint64) bool {
	to := c.destination(u)
	count := c.many(u, n, to)
	if count < 2 {
		return false
	}
	dst := c.bytes(to, int(count*n), accessWrite)
	if dst == nil {
		return false
	}
	if v := c.R[rax] & mask(uint8(n)); v == 0 {
		clear(dst)
	} else {
		put(dst, uint8(n), v)
		for done := int(n); done < len(dst); done *= 2 {
			copy(dst[done:], dst[:done])
		}
	}
	c.R[rdi] += count * n
	c.R[rcx] -= count
	return true
}
