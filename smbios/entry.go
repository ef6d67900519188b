package smbios

import "encoding/binary"

const (
	entrySize = 24
	entryRoom = 32
)

// entryPoint returns the 64-bit entry point (section 5.2.2): "_SM3_", u8 checksum
// at 5, u8 length, u8 major, minor and document revision of the specification, u8
// revision of the entry point at 10, u32 greatest size of the tables at 12, u64 their
// address at 16.
func entryPoint(table uint64, size int) []byte {
	b := make([]byte, entrySize)
	copy(b, "_SM3_")
	b[6] = entrySize
	b[7], b[8], b[9], b[10] = 3, 7, 0, 1
	binary.LittleEndian.PutUint32(b[12:], uint32(size))
	binary.LittleEndian.PutUint64(b[16:], table)
	var sum byte
	for _, c := range b {
		sum += c
	}
	b[5] = -sum
	return b
}

// structure is one structure as it is written (section 6.1.2): u8 type, u8 length,
// u16 handle, the formatted part; then the strings, each ended by a NUL, and
// another NUL. The formatted part names strings by number, from 1 on.
type structure struct {
	b       []byte
	strings []string
}

func begin(kind byte, handle uint16) *structure {
	return &structure{b: []byte{kind, 0, byte(handle), byte(handle >> 8)}}
}

func (s *structure) u8(v ...byte) *structure {
	s.b = append(s.b, v...)
	return s
}

func (s *structure) u16(v uint16) *structure {
	s.b = binary.LittleEndian.AppendUint16(s.b, v)
	return s
}

func (s *structure) u32(v uint32) *structure {
	s.b = binary.LittleEndian.AppendUint32(s.b, v)
	return s
}

func (s *structure) u64(v uint64) *structure {
	s.b = binary.LittleEndian.AppendUint64(s.b, v)
	return s
}

// str adds the number of a string; of an empty one 0.
func (s *structure) str(v string) *structure {
	if v == "" {
		return s.u8(0)
	}
	s.strings = append(s.strings, v)
	return s.u8(byte(len(s.strings)))
}

func (s *structure) appendTo(b []byte) []byte {
	s.b[1] = byte(len(s.b))
	b = append(b, s.b...)
	for _, v := range s.strings {
		b = append(append(b, v...), 0)
	}
	if len(s.strings) == 0 {
		b = append(b, 0)
	}
	return append(b, 0)
}
