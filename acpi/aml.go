package acpi

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The functions of this file encode terms of AML (section 20.2). Each returns a new
// slice. Names are paths of 4-letter segments, padded with '_'.

// Address spaces of operation regions and generic addresses.
const spaceIO = 1

const (
	opName    = 0x08
	opByte    = 0x0A
	opWord    = 0x0B
	opDword   = 0x0C
	opString  = 0x0D
	opQword   = 0x0E
	opScope   = 0x10
	opBuffer  = 0x11
	opPackage = 0x12
	opMethod  = 0x14
	opExt     = 0x5B // before the ones that begin with ext
	opStore   = 0x70
	opAnd     = 0x7B
	opNotify  = 0x86
	opIf      = 0xA0
	extRegion = 0x80
	extField  = 0x81
	extDevice = 0x82

	methodSerialized = 1 << 3
	fieldByteAccess  = 1
	nullTarget       = 0x00
)

// local0 is the variable Local0 of a method.
var local0 = []byte{0x60}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// path encodes a name such as `\_SB_.PWRB` or `_HID`.
func path(p string) []byte {
	var b []byte
	if strings.HasPrefix(p, `\`) {
		b, p = append(b, '\\'), p[1:]
	}
	segs := strings.Split(p, ".")
	switch len(segs) {
	case 1:
	case 2:
		b = append(b, 0x2E)
	default:
		b = append(b, 0x2F, byte(len(segs)))
	}
	for _, s := range segs {
		b = append(b, s...)
	}
	return b
}

// pkgLength encodes the length of what follows it, n bytes, and of itself
// (section 20.2.4): up to 63 in one byte; beyond that 4 bits in the first, whose top two
// bits count the bytes that follow with 8 bits each.
func pkgLength(n int) []byte {
	if n+1 <= 0x3F {
		return []byte{byte(n + 1)}
	}
	more := 1
	for more < 3 && n+1+more >= 1<<(4+8*more) {
		more++
	}
	n += 1 + more
	b := []byte{byte(more<<6 | n&0xF)}
	for n >>= 4; more > 0; more-- {
		b = append(b, byte(n))
		n >>= 8
	}
	return b
}

// packaged encodes op, the length of body, and body.
func packaged(op []byte, body []byte) []byte {
	return concat(op, pkgLength(len(body)), body)
}

func integer(n uint64) []byte {
	le := binary.LittleEndian
	switch {
	case n <= 1:
		return []byte{byte(n)} // ZeroOp, OneOp
	case n < 1<<8:
		return []byte{opByte, byte(n)}
	case n < 1<<16:
		return le.AppendUint16([]byte{opWord}, uint16(n))
	case n < 1<<32:
		return le.AppendUint32([]byte{opDword}, uint32(n))
	default:
		return le.AppendUint64([]byte{opQword}, n)
	}
}

func str(s string) []byte { return concat([]byte{opString}, []byte(s), []byte{0}) }

// eisaID encodes an id of three capitals and four hexadecimal digits as an
// integer (section 19.3.4): 5 bits a letter, most significant byte first.
func eisaID(id string) []byte {
	n := uint32(id[0]-'@')<<26 | uint32(id[1]-'@')<<21 | uint32(id[2]-'@')<<16
	for i, c := range []byte(id[3:7]) {
		n |= uint32(strings.IndexByte("0123456789ABCDEF", c)) << (12 - 4*i)
	}
	return binary.BigEndian.AppendUint32([]byte{opDword}, n)
}

func name(n string, value []byte) []byte { return concat([]byte{opName}, path(n), value) }

func pkg(elements ...[]byte) []byte {
	return packaged([]byte{opPackage}, concat([]byte{byte(len(elements))}, concat(elements...)))
}

func scope(p string, terms []byte) []byte {
	return packaged([]byte{opScope}, concat(path(p), terms))
}

func dev(n string, terms ...[]byte) []byte {
	return packaged([]byte{opExt, extDevice}, concat(path(n), concat(terms...)))
}

// serialMethod encodes a method that no two threads are in at once.
func serialMethod(n string, args byte, terms ...[]byte) []byte {
	return packaged([]byte{opMethod}, concat(path(n), []byte{args | methodSerialized}, concat(terms...)))
}

// ioRegion encodes an operation region of size ports.
func ioRegion(n string, port uint16, size uint64) []byte {
	return concat([]byte{opExt, extRegion}, path(n), []byte{spaceIO}, integer(uint64(port)), integer(size))
}

// byteField names the first 8 bits of a region.
func byteField(region, n string) []byte {
	return packaged([]byte{opExt, extField}, concat(path(region), []byte{fieldByteAccess}, path(n), []byte{8}))
}

func store(value, target []byte) []byte { return concat([]byte{opStore}, value, target) }

func and(x, y []byte) []byte { return concat([]byte{opAnd}, x, y, []byte{nullTarget}) }

func ifTrue(condition []byte, terms ...[]byte) []byte {
	return packaged([]byte{opIf}, concat(condition, concat(terms...)))
}

func notify(object string, value uint64) []byte {
	return concat([]byte{opNotify}, path(object), integer(value))
}
