package memory

import (
	"errors"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// old is madvise of a kernel before 5.14.
func old([]byte, int) error { return unix.EINVAL }

func TestPopulate(t *testing.T) {
	for name, madvise := range map[string]func([]byte, int) error{"by madvise": unix.Madvise, "by writing": old} {
		t.Run(name, func(t *testing.T) {
			const pages = 64
			b, err := unix.Mmap(-1, 0, pages*PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Munmap(b)
			if err := populate(b, madvise); err != nil {
				t.Fatal(err)
			}
			if n := present(t, b); n != pages {
				t.Errorf("%d of %d pages are present", n, pages)
			}
		})
	}
}

func present(t *testing.T, b []byte) (n int) {
	t.Helper()
	v := make([]byte, len(b)/PageSize)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&v[0]))); errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range v {
		n += int(p & 1)
	}
	return n
}

// Memory after a file's end cannot be had: as a full pool of huge pages.
func TestPopulateFails(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/short")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := populate(b, old); !errors.Is(err, unix.EFAULT) {
		t.Errorf("by writing: %v", err)
	}
	if err := populate(b, func([]byte, int) error { return unix.ENOMEM }); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("by madvise: %v", err)
	}
}
