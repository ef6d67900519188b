package linux

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// size names a machine's size, memory in MiB.
func size(cpus int, memory uint64) string {
	if memory >= 1<<10 {
		return fmt.Sprintf("%dcpu-%dGiB", cpus, memory>>10)
	}
	return fmt.Sprintf("%dcpu-%dMiB", cpus, memory)
}

// scratch is a cache in the job's own directory: each bzImage is unpacked by
// the first test that boots it.
const scratch = "unpacked"

func cacheOf(kernel, file string) string {
	if kernel == kernels.Debian61 && file == vmlinuz {
		return cacheDir // see unpackSlowest
	}
	return scratch
}
