package unpack

import (
	"encoding/binary"
	"io"
)

// x86Filter undoes the x86 branch filter (The .xz File Format 1.2, section
// 5.3.2): targets of CALL (E8) and JMP (E9) were made absolute before packing,
// because then the same target is the same bytes; they become relative again.
//
// The filter takes an E8 or E9 for an opcode only where the high byte of its
// operand is 00 or FF and no other candidate in the three bytes before speaks
// against it; this must be decided exactly as the packer did.
type x86Filter struct {
	r     io.Reader
	store []byte
	buf   []byte // in store
	done  int    // bytes of buf that are final
	err   error  // of r, after buf

	pos  uint32 // of buf[0] in the data, modulo 2^32
	prev uint32 // where the last candidate was
	mask uint   // which of the three bytes before the last candidate were ones
}

func (f *x86Filter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.done == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.fill()
	}
	n := copy(p, f.buf[:f.done])
	f.buf, f.done, f.pos = f.buf[n:], f.done-n, f.pos+uint32(n)
	return n, nil
}

func (f *x86Filter) fill() {
	const size = 64 << 10
	if f.store == nil {
		f.store = make([]byte, size)
	}
	f.buf = f.store[:copy(f.store, f.buf)]
	for len(f.buf) < size && f.err == nil {
		var n int
		n, f.err = f.r.Read(f.store[len(f.buf):])
		f.buf = f.store[:len(f.buf)+n]
	}
	f.done = f.convert(f.buf)
	if f.err != nil {
		f.done = len(f.buf) // an operand cut off by the end was never converted
	}
}

// outermost reports whether b is a byte that sign extension makes.
func outermost(b byte) bool { return b == 0 || b == 0xff }

// convert works on b, whose first byte is at f.pos, and returns how many bytes
// are final.
func (f *x86Filter) convert(b []byte) int {
	i := 0
	for ; i+4 < len(b); i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		at := f.pos + uint32(i)
		if gap := at - f.prev; gap > 3 {
			f.mask = 0
		} else {
			f.mask = f.mask << (gap - 1) & 7
		}
		f.prev = at
		if f.mask != 0 && (!allowedMask(f.mask) || outermost(b[i+4-maskBytes(f.mask)])) || !outermost(b[i+4]) {
			f.mask = f.mask<<1 | 1
			continue
		}
		v := binary.LittleEndian.Uint32(b[i+1:])
		v -= at + 5
		if f.mask != 0 {
			shift := 8 * maskBytes(f.mask)
			for outermost(byte(v >> (24 - shift))) {
				// Ends after one round: this gives the complement of the operand in these
				// bits, and its byte here was checked above.
				v = (v ^ (1<<(32-shift) - 1)) - (at + 5)
			}
		}
		v &= 0x1ffffff
		v |= -(v & 0x1000000) // sign extension from bit 24
		binary.LittleEndian.PutUint32(b[i+1:], v)
		i += 4
	}
	return min(i, len(b))
}

// allowedMask: with these earlier candidates an operand may still be one.
func allowedMask(m uint) bool { return m <= 2 || m == 4 }

// maskBytes is how many bytes back from the operand's end the earlier candidate's
// operand ends.
func maskBytes(m uint) int {
	switch {
	case m == 0:
		return 0
	case m == 1:
		return 1
	case m < 4:
		return 2
	}
	return 3
}
