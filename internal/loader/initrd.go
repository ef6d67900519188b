package loader

import (
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

// File is a file to lay in guest memory.
type File = kernel.File

// InitrdSize is how much memory the initrds take, one after another, each from
// a page boundary on. Linux skips zeroes between archives at any multiple of 4,
// and pages can be mapped.
func InitrdSize(files []File) (n uint64) {
	for _, f := range files {
		n = up(n, memory.PageSize) + f.Size
	}
	return n
}

// InitrdGrain is what the initrds' place is best aligned to.
const InitrdGrain = memory.HugePageSize

// Initrd adds the files at addr, which is page aligned. A guest reads its initrd
// once, front to back: it is mapped, but for small ones, which would only cut a
// huge page into small ones.
func (l *Layout) Initrd(files []File, addr memory.Addr, mode Mode) {
	for _, f := range files {
		w := mapped
		if mode == Copy || mode != Map && f.Size < memory.HugePageSize {
			w = copied
		}
		l.pieces = append(l.pieces, piece{f.File, f.Path, addr, 0, f.Size, w})
		addr += memory.Addr(up(f.Size, memory.PageSize))
	}
}
