package memory

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Options are what backs a machine's RAM.
type Options struct {
	// HugeTLB takes 2 MiB pages from the host's reserved pool (hugetlbfs). The
	// host must have enough of them; nothing can be mapped from files then.
	HugeTLB bool
	// Prealloc makes every page present before the guest starts.
	Prealloc bool
}

// New makes RAM for the ranges, which are sorted, apart and page aligned. The
// memory reads as zeroes, is taken from the host when first touched (so more can
// be promised than there is), and asks for transparent huge pages: many hosts
// give them only on request. A core dump of the process leaves it out.
func New(ranges []Range, o Options) (*Map, error) {
	var total uint64
	for i, r := range ranges {
		if r.Size == 0 || r.Size%PageSize != 0 || r.Addr%PageSize != 0 || uint64(r.Addr)+r.Size < r.Size {
			return nil, fmt.Errorf("memory: region %#x+%#x is empty, not page aligned or wraps around", uint64(r.Addr), r.Size)
		}
		if i > 0 && uint64(ranges[i-1].Addr)+ranges[i-1].Size > uint64(r.Addr) {
			return nil, fmt.Errorf("memory: region %#x overlaps the one before", uint64(r.Addr))
		}
		total += roundUp(r.Size, HugePageSize)
	}
	if total == 0 || total > 1<<46 {
		return nil, fmt.Errorf("memory: %d bytes of RAM are none or more than a process can map", total)
	}
	backing, err := reserve(total, o)
	if err != nil {
		return nil, err
	}
	hide(backing)
	if !o.HugeTLB {
		adviseHuge(backing)
	}
	m := &Map{backing: backing, opts: o}
	var off uint64
	for _, r := range ranges {
		m.regions = append(m.regions, Region{r.Addr, r.Size, backing[off : off+r.Size : off+r.Size]})
		off += roundUp(r.Size, HugePageSize)
	}
	if o.Prealloc {
		if err := populate(backing, unix.Madvise); err != nil {
			m.Close()
			return nil, fmt.Errorf("memory: cannot make all %d MiB present beforehand: %w; give the machine less memory or the host more", total>>20, err)
		}
	}
	return m, nil
}

// reserve maps total bytes whose address is a multiple of a huge page.
func reserve(total uint64, o Options) ([]byte, error) {
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	if o.HugeTLB {
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_HUGETLB | 21<<unix.MAP_HUGE_SHIFT
		p, err := unix.MmapPtr(-1, 0, nil, uintptr(total), unix.PROT_READ|unix.PROT_WRITE, flags)
		if err != nil {
			return nil, fmt.Errorf("memory: no %d huge pages of 2 MiB free: %w; raise vm.nr_hugepages", total/HugePageSize, err)
		}
		return unsafe.Slice((*byte)(p), total), nil
	}
	// A little more than needed, then the ends cut off: mmap aligns to 4 KiB.
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(total+HugePageSize), unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("memory: cannot map %d MiB for the guest: %w; check ulimit -v and vm.overcommit_memory", total>>20, err)
	}
	head := uintptr(roundUp(uint64(uintptr(p)), HugePageSize)) - uintptr(p)
	if head > 0 {
		unix.MunmapPtr(p, head)
	}
	start := unsafe.Add(p, head)
	if tail := HugePageSize - head; tail > 0 {
		unix.MunmapPtr(unsafe.Add(start, total), tail)
	}
	b := unsafe.Slice((*byte)(start), total)
	return b, nil
}

// adviseHuge asks for huge pages, except for the first one. That holds the
// boot data and almost nothing else, a few pages of 4 KiB: with
// a huge page there it was two thirds of what one small machine among many
// took, and clearing it cost each start more than the faults.
func adviseHuge(b []byte) {
	if len(b) > HugePageSize {
		// Refused only by kernels without transparent huge pages; then 4 KiB pages do.
		_ = unix.Madvise(b[HugePageSize:], unix.MADV_HUGEPAGE)
	}
}

// SmallPages asks for pages of 4 KiB, and never huge ones, in the frames of
// HugePageSize that [addr, addr+n) lies in: for frames of which little is used,
// which a huge page would fill with zeroes. Reset undoes it. Pages that are
// present already, and those of a hugetlbfs pool, stay as they are.
func (m *Map) SmallPages(addr Addr, n uint64) error {
	b, err := m.Slice(addr, n)
	if err != nil || n == 0 || m.opts.HugeTLB {
		return err
	}
	first := uintptr(unsafe.Pointer(&b[0])) - uintptr(unsafe.Pointer(&m.backing[0]))
	from := uint64(first) &^ (HugePageSize - 1)
	to := roundUp(uint64(first)+n, HugePageSize) // the mapping's size is a multiple of it
	// Refused only by kernels without transparent huge pages, as in adviseHuge.
	_ = unix.Madvise(m.backing[from:to], unix.MADV_NOHUGEPAGE)
	return nil
}

// Close unmaps everything. No slot, vCPU or device may use the memory any more.
func (m *Map) Close() error {
	if m.backing == nil {
		return nil
	}
	b := m.backing
	m.backing, m.regions = nil, nil
	return unix.MunmapPtr(unsafe.Pointer(&b[0]), uintptr(len(b)))
}

// Reset makes all RAM read as zeroes again and gives the host's pages back;
// file mappings are dropped. For a restart in place.
func (m *Map) Reset() error {
	flags := unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE | unix.MAP_FIXED
	if m.opts.HugeTLB {
		return unix.Madvise(m.backing, unix.MADV_DONTNEED)
	}
	p := unsafe.Pointer(&m.backing[0])
	if _, err := unix.MmapPtr(-1, 0, p, uintptr(len(m.backing)), unix.PROT_READ|unix.PROT_WRITE, flags); err != nil {
		return fmt.Errorf("memory: cannot replace the memory by zeroes: %w", err)
	}
	hide(m.backing)
	adviseHuge(m.backing)
	return nil
}

// hide keeps guest memory out of core dumps.
func hide(b []byte) {
	_ = unix.Madvise(b, unix.MADV_DONTDUMP) // fails for no memory of ours
}

// MapFile maps n bytes of f, from offset off, copy-on-write over the RAM at
// addr: the page cache's pages are shared by all who map them until somebody
// writes. addr, off and n are multiples of PageSize. Bytes of the last page
// after the file's end read as zeroes; a page wholly after it raises SIGBUS,
// so n must not reach there.
func (m *Map) MapFile(addr Addr, f *os.File, off int64, n uint64) error {
	return m.mapFile(addr, f, off, n, unix.PROT_READ|unix.PROT_WRITE)
}

// MapReadOnly is MapFile for RAM that Replace will put memory in place of. Until
// then a write there fails: the guest's with EFAULT from KVM_RUN, or as an MMIO
// exit where KVM emulates it; the monitor's with SIGSEGV.
func (m *Map) MapReadOnly(addr Addr, f *os.File, off int64, n uint64) error {
	return m.mapFile(addr, f, off, n, unix.PROT_READ)
}

func (m *Map) mapFile(addr Addr, f *os.File, off int64, n uint64, prot int) error {
	s, err := m.Slice(addr, n)
	if err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	if addr%PageSize != 0 || off%PageSize != 0 || n%PageSize != 0 {
		return fmt.Errorf("memory: mapping %s at %#x: not page aligned", f.Name(), uint64(addr))
	}
	p := unsafe.Pointer(&s[0])
	_, err = unix.MmapPtr(int(f.Fd()), off, p, uintptr(n), prot, unix.MAP_PRIVATE|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		return fmt.Errorf("memory: cannot map %s into the guest: %w", f.Name(), err)
	}
	hide(s) // what the guest has written there
	return nil
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) &^ (to - 1) }
