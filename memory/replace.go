package memory

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Replace puts fresh memory in place of the RAM at [addr, addr+n), in huge pages
// where the host has them, once fill has filled it. It may run while the guest runs:
// whoever reads there finds the old memory or the new, and fill gives the new the
// contents of the old. That is read-only (MapReadOnly), so no write to it is lost.
// addr and n are multiples of HugePageSize.
func (m *Map) Replace(addr Addr, n uint64, fill func([]byte) error) error {
	old, err := m.Slice(addr, n)
	if err != nil || n == 0 {
		return err
	}
	if addr%HugePageSize != 0 || n%HugePageSize != 0 || m.opts.HugeTLB {
		return fmt.Errorf("memory: replacing %#x+%#x: no whole frames of transparent huge pages", uint64(addr), n)
	}
	fresh, err := reserve(n, m.opts)
	if err != nil {
		return err
	}
	hide(fresh)
	_ = unix.Madvise(fresh, unix.MADV_HUGEPAGE) // may be refused, as in adviseHuge
	if err = fill(fresh); err == nil {
		_, err = unix.MremapPtr(unsafe.Pointer(&fresh[0]), uintptr(n), unsafe.Pointer(&old[0]), uintptr(n), unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED)
	}
	if err != nil {
		unix.MunmapPtr(unsafe.Pointer(&fresh[0]), uintptr(n))
		return fmt.Errorf("memory: replacing %#x+%#x: %w", uint64(addr), n, err)
	}
	return nil
}
