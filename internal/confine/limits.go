package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Limits bound what a process can take from the host. Zero leaves a limit as it
// is, but for core dumps: there are none, since they would hold what the process
// was trusted with.
type Limits struct {
	FileSize     uint64 // of each file written, in bytes
	AddressSpace uint64 // in bytes, of which Go's runtime reserves 1.3 GiB without using it
	CPUSeconds   uint64
	OpenFiles    uint64
}

// Set sets the limits of this process for good, hard and soft alike: at a soft
// CPU limit comes SIGXCPU, which Go ignores. A limit that is lower already stays.
func (l Limits) Set() error {
	for _, r := range [...]struct {
		name     string
		resource int
		value    uint64
		set      bool
	}{
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, l.FileSize, l.FileSize != 0},
		{"RLIMIT_AS", unix.RLIMIT_AS, l.AddressSpace, l.AddressSpace != 0},
		{"RLIMIT_CPU", unix.RLIMIT_CPU, l.CPUSeconds, l.CPUSeconds != 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, l.OpenFiles, l.OpenFiles != 0},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0, true},
	} {
		if !r.set {
			continue
		}
		var now unix.Rlimit
		if err := unix.Getrlimit(r.resource, &now); err != nil {
			return fmt.Errorf("getrlimit %s: %w", r.name, err)
		}
		v := min(r.value, now.Max)
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: v, Max: v}); err != nil {
			return fmt.Errorf("setrlimit %s: %w", r.name, err)
		}
	}
	return nil
}
