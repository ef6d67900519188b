// Package loader lays a kernel image and its initrds into guest memory, each
// piece in the cheapest way that its use allows: mapped copy-on-write from the
// page cache, or copied into huge pages.
package loader

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

// Mode is how file contents come into guest memory.
type Mode uint8

const (
	// Auto copies what the guest executes or patches all over (its text, its data)
	// and maps what it mostly reads. docs/RATIONALE.md has the measurements.
	Auto Mode = iota
	// Map maps whatever is page aligned in the file and in memory: the fastest
	// way to the first instruction, and shared by all machines.
	Map
	// Copy copies everything: nothing that happens to the file later matters.
	Copy
)

var modes = [...]string{"auto", "map", "copy"}

// String is the mode's name on the command line.
func (m Mode) String() string {
	if int(m) < len(modes) {
		return modes[m]
	}
	return "unknown"
}

// ParseMode reads a mode's name.
func ParseMode(s string) (Mode, error) {
	for i, n := range modes {
		if s == n {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown way to load %q: it is auto, map or copy", s)
}

// piece is a run of file bytes with one place and one way.
type piece struct {
	addr memory.Addr
	off  int64
	n    uint64
	way  way
}

type way uint8

const (
	mapped way = iota
	copied
	// sifted is copied but for pages of zeroes: linkers write BSS and scratch space
	// into the file when a section with contents follows, and memory for those is
	// better taken when the guest wants it.
	sifted
)

// Kernel lays the image's segments at their addresses plus delta. Memory behind
// a segment's file part must read as zeroes already: that is its BSS.
func Kernel(m *memory.Map, im *kernel.Image, delta int64, mode Mode) error {
	if !m.CanMapFiles() {
		mode = Copy
	}
	var list []piece
	for i := range im.Segments {
		s := &im.Segments[i]
		list = append(list, cut(s, memory.Addr(s.Paddr+uint64(delta)), mode, im.Text)...)
	}
	return lay(m, im.File, im.Path, list)
}

// cut divides a segment: text lists the file ranges that hold code. What is
// mapped is whole pages; the odd ends are copied.
func cut(s *kernel.Segment, addr memory.Addr, mode Mode, text []kernel.FileRange) []piece {
	all := piece{addr: addr, off: int64(s.Offset), n: s.Filesz, way: copied}
	aligned := (uint64(addr)-s.Offset)%memory.PageSize == 0
	if mode == Copy || !aligned || s.Filesz < 4*memory.PageSize {
		return []piece{all}
	}
	// The part from which on the segment may be mapped: all of it, or in Auto what
	// comes behind its code; data that is written is copied whole.
	from := uint64(0)
	if mode == Auto {
		if s.Writable() {
			all.way = sifted
			return []piece{all}
		}
		from = textEnd(s, text)
	}
	from = up(s.Offset+from) - s.Offset
	end := down(s.Offset+s.Filesz) - s.Offset
	if from >= end {
		return []piece{all}
	}
	at := func(a, b uint64, w way) piece {
		return piece{addr + memory.Addr(a), int64(s.Offset + a), b - a, w}
	}
	return []piece{at(0, from, copied), at(from, end, mapped), at(end, s.Filesz, copied)}
}

// textEnd is how far the segment's code reaches, in bytes from its start: all
// of an executable segment of which nothing more is known.
func textEnd(s *kernel.Segment, text []kernel.FileRange) uint64 {
	if !s.Executable() {
		return 0
	}
	if len(text) == 0 {
		return s.Filesz
	}
	end := uint64(0)
	for _, t := range text {
		if t.Offset < s.Offset+s.Filesz && t.Offset+t.Size > s.Offset {
			end = max(end, min(t.Offset+t.Size-s.Offset, s.Filesz))
		}
	}
	return end
}

func up(n uint64) uint64   { return (n + memory.PageSize - 1) &^ (memory.PageSize - 1) }
func down(n uint64) uint64 { return n &^ (memory.PageSize - 1) }

// chunk is what one copier takes at a time: a huge page.
const chunk = memory.HugePageSize

// lay maps first, then copies with two threads: the mappings change the address
// space, which must be done before anybody faults in it.
func lay(m *memory.Map, f *os.File, name string, list []piece) error {
	work := make(chan piece, 256)
	var total uint64
	for _, p := range list {
		if p.way != mapped {
			total += p.n
			continue
		}
		if err := m.MapFile(p.addr, f, p.off, p.n); err != nil {
			return err
		}
	}
	if total == 0 {
		return nil
	}
	copiers := 1
	if total > 4*chunk {
		copiers = 2
	}
	errs := make([]error, copiers)
	var wg sync.WaitGroup
	for i := range copiers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for p := range work {
				if errs[i] == nil {
					errs[i] = copyIn(m, f, name, p)
				}
			}
		}()
	}
	for _, p := range list {
		for p.way != mapped && p.n > 0 {
			q := p
			q.n = min(p.n, chunk-uint64(p.addr)%chunk)
			work <- q
			p.addr, p.off, p.n = p.addr+memory.Addr(q.n), p.off+int64(q.n), p.n-q.n
		}
	}
	close(work)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// copyIn reads straight into guest memory; a file cut short is an error here,
// where a mapping would raise SIGBUS.
func copyIn(m *memory.Map, f *os.File, name string, p piece) error {
	dst, err := m.Slice(p.addr, p.n)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if p.way == sifted {
		return sift(dst, f, name, p.off)
	}
	return read(dst, f, name, p.off)
}

func read(dst []byte, f *os.File, name string, off int64) error {
	n, err := f.ReadAt(dst, off)
	if n == len(dst) {
		return nil
	}
	if err == io.EOF {
		err = fmt.Errorf("the file ends at %d: it was truncated after it was opened", off+int64(n))
	}
	return fmt.Errorf("%s: %w", name, err)
}

var zeroPage [memory.PageSize]byte

// sift reads by way of a buffer that stays in the processor's cache.
func sift(dst []byte, f *os.File, name string, off int64) error {
	buf := make([]byte, 16*memory.PageSize)
	for len(dst) > 0 {
		b := buf[:min(len(buf), len(dst))]
		if err := read(b, f, name, off); err != nil {
			return err
		}
		for i := 0; i < len(b); i += memory.PageSize {
			if page := b[i:min(i+memory.PageSize, len(b))]; !bytes.Equal(page, zeroPage[:len(page)]) {
				copy(dst[i:], page)
			}
		}
		dst, off = dst[len(b):], off+int64(len(b))
	}
	return nil
}
