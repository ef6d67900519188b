package loader

import (
	"os"

	"github.com/mayfly-vm/mayfly/memory"
)

// File is a file to lay in guest memory.
type File struct {
	*os.File
	Path string
	Size uint64
}

// InitrdSize is how much memory the initrds take, one behind another, each from
// a page boundary on. Linux skips zeroes between archives at any multiple of 4,
// and pages can be mapped.
func InitrdSize(files []File) (n uint64) {
	for _, f := range files {
		n = up(n) + f.Size
	}
	return n
}

// Initrd lays the files at addr, which is page aligned. They are mapped but for
// Copy: a guest reads its initrd once, front to back.
func Initrd(m *memory.Map, files []File, addr memory.Addr, mode Mode) error {
	for _, f := range files {
		if mode == Copy || !m.CanMapFiles() {
			if err := lay(m, f.File, f.Path, []piece{{addr: addr, n: f.Size, way: copied}}); err != nil {
				return err
			}
		} else if err := m.MapFile(addr, f.File, 0, up(f.Size)); err != nil {
			return err
		}
		addr += memory.Addr(up(f.Size))
	}
	return nil
}
