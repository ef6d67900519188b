package linuxboot

import "encoding/binary"

// PageTablesSize is the length of what PageTables returns: a PML4, a page
// directory pointer table and four page directories.
const PageTablesSize = 6 * 4096

// Bits of a page table entry (Intel SDM volume 3, section 4.5).
const (
	ptePresent = 1 << 0
	pteWrite   = 1 << 1
	pteLarge   = 1 << 7
)

// PageTables returns page tables for guest-physical address base, a multiple of
// 4096, that map the first 4 GiB to themselves, writable and executable. They
// have 2 MiB pages, which every 64-bit processor has; 1 GiB pages are
// optional. The first table, at base, is the one for CR3.
func PageTables(base uint64) []byte {
	b := make([]byte, PageTablesSize)
	put := func(table, i int, v uint64) {
		binary.LittleEndian.PutUint64(b[table*4096+i*8:], v|ptePresent|pteWrite)
	}
	put(0, 0, base+4096)
	for gib := range 4 {
		dir := 2 + gib
		put(1, gib, base+uint64(dir)*4096)
		for i := range 512 {
			put(dir, i, (uint64(gib)<<30|uint64(i)<<21)|pteLarge)
		}
	}
	return b
}
