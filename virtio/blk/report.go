package blk

import (
	"fmt"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/virtio"
)

// reportEvery is the least time between two reports: a guest can make as many
// errors as it likes.
const reportEvery = time.Second

// reporter tells people of I/O errors.
type reporter struct {
	mu      sync.Mutex
	name    string
	tell    func(error)
	last    time.Time
	skipped int
}

func (r *reporter) set(name string, tell func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name, r.tell = name, tell
}

// failed tells that a request did.
func (r *reporter) failed(what string, n int, off int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell == nil {
		return
	}
	now := time.Now()
	if !r.last.IsZero() && now.Sub(r.last) < reportEvery {
		r.skipped++
		return
	}
	more := ""
	if r.skipped > 0 {
		more = fmt.Sprintf(" (and %d other errors since the last report)", r.skipped)
	}
	r.last, r.skipped = now, 0
	r.tell(virtio.DeviceErrorf(r.name, "%s of %d bytes at %d: %w; the guest sees an I/O error%s", what, n, off, err, more))
}
