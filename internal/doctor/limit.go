package doctor

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Below these a machine of usual size may fail. Files: one a vCPU and some ten more.
const (
	fewFiles      = 256
	littleAddress = 4 << 30
)

func (h Host) limits(r *Report) {
	h.limit(r, "open files", unix.RLIMIT_NOFILE, fewFiles, "ulimit -n 4096, or LimitNOFILE= in the service", plain)
	h.limit(r, "address space", unix.RLIMIT_AS, littleAddress, "ulimit -v unlimited", mebibytes)
	h.limit(r, "locked memory", unix.RLIMIT_MEMLOCK, 0, "", mebibytes) // Mayfly locks none: for information
}

func (h Host) limit(r *Report, name string, resource int, least uint64, do string, show func(uint64) string) {
	soft, hard, err := h.Limit(resource)
	if err != nil {
		r.add(name, Note, err.Error(), do)
		return
	}
	found := show(soft)
	if hard != soft {
		found += ", can be raised to " + show(hard)
	}
	if soft < least {
		r.add(name, Note, found+": less than "+show(least), do)
		return
	}
	r.add(name, OK, found, "")
}

func plain(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func mebibytes(n uint64) string {
	if n == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
