package main

import (
	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/landlock"
)

// maxLimit bounds LIMIT: what Mayfly asks for is at most 1 GiB.
const maxLimit = 1 << 40

const (
	// memoryBytes is the address space. Go's runtime reserves about 1.3 GiB of it
	// without using it, a dictionary may have 1 GiB.
	memoryBytes = 6 << 30
	// cpuSeconds is far above what the slowest kind (bzip2, about 20 MB/s) needs for
	// the largest kernel on a slow machine.
	cpuSeconds = 600
)

// limits are against a stream that controls its decoder, or makes it take CPU time
// or memory without end. The written file gets one byte more than limit, so that one
// that is too long is seen.
func limits(limit int64) confine.Limits {
	return confine.Limits{FileSize: uint64(limit) + 1, AddressSpace: memoryBytes, CPUSeconds: cpuSeconds}
}

// rights are the limits and the open files.
func rights(limit int64) confine.Rights {
	return confine.Rights{Limits: limits(limit), Files: landlock.Rules{Scope: true}, Calls: confine.Converter}
}
