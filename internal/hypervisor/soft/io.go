package soft

import (
	"encoding/binary"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// io is what an instruction has had of ports and registers in memory. An access that only the
// machine can make ends the instruction; when the machine has answered, the instruction begins
// anew and finds the answers of before.
type io struct {
	done    []answer
	at      int // of done, that the instruction has used
	waiting bool
	exit    hypervisor.Exit
	data    [8]byte
}

// answer is an access that was made.
type answer struct {
	kind hypervisor.ExitKind
	addr uint64
	size uint8
	data uint64
}

// again begins the instruction; finished ends it, or a part of it that is not repeated.
func (b *io) again() { b.at = 0 }

func (b *io) finished() {
	if len(b.done) != 0 {
		b.done, b.at = b.done[:0], 0
	}
}

// answered keeps what the machine has answered.
func (b *io) answered() {
	if !b.waiting {
		return
	}
	b.waiting = false
	e := &b.exit
	b.done = append(b.done, answer{e.Kind, e.Addr, uint8(e.Size), binary.LittleEndian.Uint64(b.data[:])})
}

// ask is an access; false: the machine is to make it. v is what is written.
func (b *io) ask(kind hypervisor.ExitKind, addr uint64, n uint8, v uint64) (uint64, bool) {
	if b.at < len(b.done) {
		a := b.done[b.at]
		if a.kind == kind && a.addr == addr && a.size == n {
			b.at++
			return a.data & mask(n), true
		}
		b.done = b.done[:b.at] // memory has changed since: what follows has not been asked for
	}
	binary.LittleEndian.PutUint64(b.data[:], v&mask(n))
	b.exit = hypervisor.Exit{Kind: kind, Addr: addr, Size: int(n), Data: b.data[:n]}
	b.waiting = true
	return 0, false
}

// readPhysical and writePhysical access a device's registers.
func (c *CPU) readPhysical(phys uint64, n uint8) (uint64, bool) {
	if page, _ := c.ram.Page(phys &^ (pageSize - 1)); page != nil {
		var b [8]byte
		copy(b[:n], page[phys&(pageSize-1):])
		return binary.LittleEndian.Uint64(b[:]), true
	}
	if c.delivering {
		return mask(n), true // as where there is no device
	}
	if c.apic != nil && c.apic.mapped(phys) {
		return uint64(c.apic.read(uint32(phys&0xFF0) >> 4)), true
	}
	return c.bus.ask(hypervisor.ExitMMIORead, phys, n, 0)
}

func (c *CPU) writePhysical(phys uint64, n uint8, v uint64) bool {
	if c.delivering {
		return true
	}
	if c.apic != nil && c.apic.mapped(phys) {
		c.apic.write(uint32(phys&0xFF0)>>4, uint32(v))
		c.code.changed = true // an interrupt may come after this instruction
		return true
	}
	_, ok := c.bus.ask(hypervisor.ExitMMIOWrite, phys, n, v)
	return ok
}

// portAllowed reports whether ports may be used: by privilege, or by the map of the task. Where they may
// not, c.fault is set. Source: Intel SDM volume 1, chapter 19.5.2.
func (c *CPU) portAllowed(port uint64, n uint8) bool {
	if c.cpl <= c.iopl() {
		return true
	}
	const mapBase = 0x66                                               // where the TSS says where the map begins
	if uint64(c.tr.limit) >= mapBase+1 && c.tr.attr&15&^2 == typeTSS { // one of 16 bits has none
		base, ok := c.systemLoad(c.tr.base+mapBase, 2)
		if !ok {
			return false
		}
		if at := base + port/8; at+1 <= uint64(c.tr.limit) {
			bits, ok := c.systemLoad(c.tr.base+at, 2)
			if !ok {
				return false
			}
			if bits>>(port%8)&(1<<n-1) == 0 {
				return true
			}
		}
	}
	c.raise(vectorGP)
	return false
}

// in and out are IN and OUT.
func in(c *CPU, u *uop) status {
	n := min(u.OperandSize, 4)
	if !c.portAllowed(port(c, u), n) {
		return faulted
	}
	v, ok := c.bus.ask(hypervisor.ExitPortIn, port(c, u), n, 0)
	if !ok {
		return faulted
	}
	c.notePort(port(c, u), n)
	c.setReg(u, rax, n, v)
	return next
}

func out(c *CPU, u *uop) status {
	n := min(u.OperandSize, 4)
	if !c.portAllowed(port(c, u), n) {
		return faulted
	}
	if _, ok := c.bus.ask(hypervisor.ExitPortOut, port(c, u), n, c.R[rax]); !ok {
		return faulted
	}
	c.notePort(port(c, u), n)
	return next
}

func port(c *CPU, u *uop) uint64 {
	if u.Opcode < 0xE8 {
		return uint64(u.Imm) & 0xFF
	}
	return c.R[rdx] & 0xFFFF
}

// ins and outs are INS and OUTS.
func ins(c *CPU, u *uop) status {
	n := min(u.OperandSize, 4)
	if !c.portAllowed(c.R[rdx]&0xFFFF, n) {
		return faulted
	}
	return c.repeated(u, func() bool {
		if !c.writable(c.destination(u), int(n)) { // a fault comes before the port is read
			return false
		}
		v, ok := c.bus.ask(hypervisor.ExitPortIn, c.R[rdx]&0xFFFF, n, 0)
		if !ok || !c.store(c.destination(u), n, v) {
			return false
		}
		c.notePort(c.R[rdx]&0xFFFF, n)
		c.advance(u, rdi, c.step(n))
		return true
	}, nil, nil)
}

func outs(c *CPU, u *uop) status {
	n := min(u.OperandSize, 4)
	if !c.portAllowed(c.R[rdx]&0xFFFF, n) {
		return faulted
	}
	return c.repeated(u, func() bool {
		v, ok := c.load(c.source(u), n)
		if !ok {
			return false
		}
		if _, ok = c.bus.ask(hypervisor.ExitPortOut, c.R[rdx]&0xFFFF, n, v); !ok {
			return false
		}
		c.notePort(c.R[rdx]&0xFFFF, n)
		c.advance(u, rsi, c.step(n))
		return true
	}, nil, nil)
}

// stop ends the machine with a message.
func (c *CPU) stop(detail string) {
	c.bus.exit = hypervisor.Exit{Kind: hypervisor.ExitInternalError, Detail: detail}
}
