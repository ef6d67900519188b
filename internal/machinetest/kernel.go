package machinetest

import "encoding/binary"

// TextBase is the guest-physical address of the text of a Kernel.
const TextBase = 0x1000000

// Kernel is an ELF file whose text, with its data in it, is entered at its first byte by
// the PVH protocol: in 32-bit mode.
func Kernel(text []byte) []byte {
	const page, base = 4096, TextBase
	n := len(text)
	le := binary.LittleEndian
	file := make([]byte, page+n)
	copy(file, "\x7fELF\x02\x01\x01")
	for at, v := range map[int]uint16{16: 2, 18: 62, 52: 64, 54: 56, 56: 2} { // an executable, for x86-64, with two program headers
		le.PutUint16(file[at:], v)
	}
	le.PutUint32(file[20:], 1)
	le.PutUint64(file[24:], base)
	le.PutUint64(file[32:], 64)
	for i, h := range [][8]uint64{{1, 5, page, base, base, uint64(n), uint64(n), page}, {4, 4, 512, 0, 0, 20, 20, 4}} { // code, and a note
		p := file[64+56*i:]
		le.PutUint32(p, uint32(h[0]))
		le.PutUint32(p[4:], uint32(h[1]))
		for j, v := range h[2:] {
			le.PutUint64(p[8+8*j:], v)
		}
	}
	for i, v := range []uint32{4, 4, 18, 0x006e6558, base} { // XEN_ELFNOTE_PHYS32_ENTRY
		le.PutUint32(file[512+4*i:], v)
	}
	copy(file[page:], text)
	return file
}

// SelfWriter is a kernel of n bytes of code that reads and writes a word in each
// of its pages but the first, which must hold the page's address, and powers off;
// if it finds something else it crashes.
func SelfWriter(n int) []byte {
	const page, base = 4096, TextBase
	le := binary.LittleEndian
	text := make([]byte, n)
	code := []byte{0xBF, 0, 0x10, 0, 1, 0xB9, 0, 0, 0, 0} // mov edi, base+page; mov ecx, pages
	le.PutUint32(code[6:], uint32(n/page-1))
	code = append(code,
		0x8B, 0x07, // again: mov eax, [edi]
		0x39, 0xF8, // cmp eax, edi
		0x75, 0x19, // jne bad
		0xF7, 0x17, // not dword [edi]
		0xF7, 0xD0, // not eax
		0x39, 0x07, // cmp [edi], eax
		0x75, 0x11, // jne bad
		0x81, 0xC7, 0, 0x10, 0, 0, // add edi, page
		0x49,       // dec ecx
		0x75, 0xE9, // jnz again
		0x66, 0xBA, 0, 6, // mov dx, 0x600
		0xB0, 0x34, // mov al, 0x34
		0xEE,       // out dx, al
		0xF4,       // hlt
		0x0F, 0x0B) // bad: ud2
	copy(text, code)
	for at := page; at < n; at += page {
		le.PutUint32(text[at:], uint32(base+at))
	}
	return Kernel(text)
}
