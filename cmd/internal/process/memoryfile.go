package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// MemoryFile returns a file that exists in memory only, with data in it. The caller closes it.
func MemoryFile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("a file in memory for %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(data); err != nil {
		f.Close()
		return nil, fmt.Errorf("a file in memory for %s: %w", name, err)
	}
	return f, nil
}

// Path is a path by which this process can open a file that has none, such as a [MemoryFile].
func Path(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
