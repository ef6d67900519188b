// Package loader loads a kernel image and its initrds into guest memory, each
// piece in the cheapest way that its use allows: mapped copy-on-write from the
// page cache, or copied into huge pages.
package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

// Mode is how file contents come into guest memory.
type Mode string

const (
	// Auto, the default, copies what the guest executes or patches all over (its text,
	// its data) and maps what it mostly reads, unless CopyKernel is called. docs/RATIONALE.md has the measurements.
	Auto Mode = "auto"
	// Map maps whatever is page aligned in the file and in memory: the fastest
	// way to the first instruction, and shared by all machines.
	Map Mode = "map"
	// Copy copies everything: nothing that happens to the file later matters.
	Copy Mode = "copy"
)

// Modes are the values of a Mode other than "", which is Auto.
var Modes = []Mode{Auto, Map, Copy}

// Check is an error that lists the values, where m is none of them.
func (m Mode) Check() error { return enum.Check(m, Modes) }

type way uint8

const (
	mapped way = iota
	// late is mapped by Lay, to be read and executed, and copied by LayLate when the
	// guest runs already.
	late
	copied
	// sifted is copied but for pages of zeroes: linkers write BSS and scratch space
	// into the file when a section with contents follows, and memory for those is
	// better taken when the guest wants it.
	sifted
)

// maps reports whether Lay maps such a piece, or else copies it.
func (w way) maps() bool { return w == mapped || w == late }

// Layout is what goes where: pieces of files, decided before memory exists.
type Layout struct {
	// Late leaves what Auto copies of code in whole frames of a huge page to LayLate.
	Late bool

	pieces []piece
	auto   int            // how many of the first pieces are a kernel's, in mode Auto
	small  []memory.Range // where a small image and the boot data lie, to be in pages of 4 KiB
	done   atomic.Bool    // nothing of what is late is mapped any more
}

// piece is a run of a file's bytes with one place and one way.
type piece struct {
	file *os.File
	name string // as the user gave it
	addr memory.Addr
	off  int64
	n    uint64
	way  way
}

// Kernel adds the image's segments at their addresses plus delta. Memory behind
// a segment's file part must read as zeroes already: that is its BSS.
func (l *Layout) Kernel(im *kernel.Image, delta int64, mode Mode) {
	for i := range im.Segments {
		s := &im.Segments[i]
		l.segment(im, s, memory.Addr(s.Paddr+uint64(delta)), mode)
	}
	if mode != Map && mode != Copy {
		l.auto = len(l.pieces)
	}
	l.smallImage(im, delta)
}

// MapsKernel reports whether a part of the kernel is mapped in mode Auto.
func (l *Layout) MapsKernel() bool {
	return slices.ContainsFunc(l.pieces[:l.auto], func(p piece) bool { return p.way == mapped })
}

// CopyKernel has what mode Auto maps of a kernel copied, as its code is. To be
// called before Lay where the host cannot fill nested page tables beforehand: there
// each page that a guest reads of a mapped file is an exit.
func (l *Layout) CopyKernel() {
	for i := range l.pieces[:l.auto] {
		p := &l.pieces[i]
		if p.way == mapped && l.Late {
			p.way = late // whole frames of a huge page, as those of code
		} else if p.way == mapped {
			p.way = copied
		}
	}
}

// A small image takes at most smallImageSize bytes of memory, which is half a
// huge page and less than any Linux, in at most smallImageParts places: each is a
// system call at every start.
const (
	smallImageSize  = memory.HugePageSize / 2
	smallImageParts = 4
)

// smallImage lists where a small image and the boot data lie; l.small stays empty
// for a larger one.
func (l *Layout) smallImage(im *kernel.Image, delta int64) {
	frame := func(a memory.Addr) uint64 { return uint64(a) / memory.HugePageSize }
	list := []memory.Range{{Addr: 0, Size: memory.PageSize}}
	total := uint64(0)
	for i := range im.Segments { // by ascending address
		s := &im.Segments[i]
		if s.Memsz > smallImageSize-total {
			return
		}
		if total += s.Memsz; s.Memsz == 0 {
			continue
		}
		addr := memory.Addr(s.Paddr + uint64(delta))
		if last := &list[len(list)-1]; frame(addr) <= frame(last.Addr+memory.Addr(last.Size-1))+1 {
			last.Size = uint64(addr-last.Addr) + s.Memsz // one range, where the frames touch
			continue
		}
		if len(list) == smallImageParts {
			return
		}
		list = append(list, memory.Range{Addr: addr, Size: s.Memsz})
	}
	l.small = list
}

// segment divides a segment into what is copied and what is mapped.
func (l *Layout) segment(im *kernel.Image, s *kernel.Segment, addr memory.Addr, mode Mode) {
	one := func(from, to uint64, w way) {
		if from < to {
			l.pieces = append(l.pieces, piece{im.File, im.Path, addr + memory.Addr(from), int64(s.Offset + from), to - from, w})
		}
	}
	add := func(from, to uint64, w way) {
		if w == sifted { // what is known to be zeroes need not be searched
			for _, z := range im.Zeroes {
				if z.Offset >= s.Offset+from && z.Offset+z.Size <= s.Offset+to {
					one(from, z.Offset-s.Offset, w)
					from = z.Offset + z.Size - s.Offset
				}
			}
		}
		one(from, to, w)
	}
	if mode == Copy || (uint64(addr)-s.Offset)%memory.PageSize != 0 {
		add(0, s.Filesz, copied)
		return
	}
	lead := func(to uint64, w way) { // what comes before that which is mapped
		first, last := frames(addr, 0, to, memory.HugePageSize)
		if w != copied || !l.Late || first >= last {
			add(0, to, w)
			return
		}
		add(0, first, copied)
		add(first, last, late)
		add(last, to, copied)
	}
	// What may be mapped: all of it, or in Auto what comes after the code of a
	// segment that the guest does not write to by design. Map goes by pages; Auto
	// by frames of a huge page, since one mapped page in a frame makes the host use
	// small pages for all of it.
	from, grain, w := uint64(0), uint64(memory.PageSize), copied
	if mode != Map {
		grain = memory.HugePageSize
		if from = textEnd(s, im.Text); s.Writable() {
			from, w = s.Filesz, sifted
		}
	}
	first, last := frames(addr, from, s.Filesz, grain)
	if first >= last {
		lead(s.Filesz, w)
		return
	}
	lead(first, w)
	add(first, last, mapped)
	add(last, s.Filesz, copied)
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

// frames are the first and the end of the whole grains of memory that lie in
// [from, to) from addr on, as distances from it; there is none if first >= last.
func frames(addr memory.Addr, from, to, grain uint64) (first, last uint64) {
	first, last = up(uint64(addr)+from, grain)-uint64(addr), down(uint64(addr)+to, grain)-uint64(addr)
	if last > to { // a wrap below addr
		last = 0
	}
	return first, last
}

func up(n, grain uint64) uint64   { return (n + grain - 1) &^ (grain - 1) }
func down(n, grain uint64) uint64 { return n &^ (grain - 1) }

// ToCopy is how many bytes Lay will copy.
func (l *Layout) ToCopy() (n uint64) {
	for i := range l.pieces {
		if !l.pieces[i].way.maps() {
			n += l.pieces[i].n
		}
	}
	return n
}

// Maps reports whether a part of f is mapped, and so what becomes of f matters as
// long as the guest runs.
func (l *Layout) Maps(f *os.File) bool {
	for i := range l.pieces {
		if p := &l.pieces[i]; p.file == f && (p.way == mapped || p.way == late && !l.done.Load()) {
			return true
		}
	}
	return false
}

// Ranges are the places that Lay fills without gaps, in whole pages, for those
// who want to fault them in. What is sifted is left out: to read a page that is
// not there yet brings in a small page of zeroes, where the guest's first write
// would have brought a huge one. So is what is late: it comes in huge pages when the
// guest touches it after LayLate. There is none for a few pages in all: the
// request would cost more than their faults.
func (l *Layout) Ranges() []memory.Range {
	const worthIt = 16 * memory.PageSize
	total := uint64(0)
	list := make([]memory.Range, 0, len(l.pieces))
	for i := range l.pieces {
		p := &l.pieces[i]
		if p.way == sifted || p.way == late {
			continue
		}
		from := down(uint64(p.addr), memory.PageSize)
		size := up(uint64(p.addr)+p.n, memory.PageSize) - from
		total += size
		list = append(list, memory.Range{Addr: memory.Addr(from), Size: size})
	}
	if total < worthIt {
		return nil
	}
	return list
}

// chunk is what one copier takes at a time: a huge page.
const chunk = memory.HugePageSize

// Lay maps first, then copies, much with two threads: the mappings change the
// address space, which must be done before anybody faults in it.
func (l *Layout) Lay(m *memory.Map) error {
	l.done.Store(false)
	for _, r := range l.small {
		if err := m.SmallPages(r.Addr, r.Size); err != nil {
			return err
		}
	}
	for i := range l.pieces {
		p := &l.pieces[i]
		var err error
		switch p.way {
		case mapped:
			err = m.MapFile(p.addr, p.file, p.off, up(p.n, memory.PageSize))
		case late:
			err = m.MapReadOnly(p.addr, p.file, p.off, p.n)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if l.ToCopy() < 4*chunk {
		for i := range l.pieces {
			if err := l.pieces[i].copyIn(m); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64 // of the chunks; each copier takes the next
	chunks := l.chunks()
	errs := make([]error, 2)
	copier := func(i int) {
		for errs[i] == nil {
			n := int(next.Add(1)) - 1
			if n >= len(chunks) {
				return
			}
			errs[i] = chunks[n].copyIn(m)
		}
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		defer func() {
			if r := recover(); r != nil {
				errs[1] = fmt.Errorf("loading files into guest memory: %v", r)
			}
		}()
		debug.SetPanicOnFault(true)
		copier(1)
	}()
	copier(0)
	wg.Wait()
	return errors.Join(errs...)
}

// HasLate reports whether LayLate has anything to do.
func (l *Layout) HasLate() bool {
	return slices.ContainsFunc(l.pieces, func(p piece) bool { return p.way == late })
}

// LayLate copies what Lay has only mapped, so that the guest has huge pages there
// and may write. It may run while the guest runs.
func (l *Layout) LayLate(m *memory.Map) error {
	for i := range l.pieces {
		p := &l.pieces[i]
		if p.way != late {
			continue
		}
		if err := m.Replace(p.addr, p.n, func(b []byte) error { return read(b, p.file, p.name, p.off) }); err != nil {
			return err
		}
	}
	l.done.Store(true)
	return nil
}

// chunks cuts what is to be copied at huge page boundaries.
func (l *Layout) chunks() (list []piece) {
	for _, p := range l.pieces {
		for !p.way.maps() && p.n > 0 {
			q := p
			q.n = min(p.n, chunk-uint64(p.addr)%chunk)
			list = append(list, q)
			p.addr, p.off, p.n = p.addr+memory.Addr(q.n), p.off+int64(q.n), p.n-q.n
		}
	}
	return list
}

// copyIn reads straight into guest memory; a file cut short is an error here,
// where a mapping would raise SIGBUS.
func (p *piece) copyIn(m *memory.Map) error {
	if p.way.maps() {
		return nil
	}
	dst, err := m.Slice(p.addr, p.n)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if p.way == sifted {
		return sift(dst, p.file, p.name, p.off)
	}
	return read(dst, p.file, p.name, p.off)
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
