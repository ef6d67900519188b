package machine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/memory"
)

// lateMemory is what the guest's first instructions do without: the rest of RAM, and
// memory in place of the file that the guest's text was mapped from.
type lateMemory struct {
	machine hypervisor.Machine
	spec    *Spec
	mem     *memory.Map

	once     sync.Once
	pending  atomic.Bool   // complete has yet to return
	failed   *ending       // of complete
	wanted   chan struct{} // has an element when somebody waits for the supervisor to complete it
	finished chan struct{} // closed when complete has returned
}

// grace is how long the guest runs before the supervisor completes its memory. RAM
// that it has not touched has time: its first instructions need the CPUs for
// themselves. Text in small pages has not.
func (l *lateMemory) grace() time.Duration {
	if l.spec.Plan.Files.HasLate() {
		return 0
	}
	return time.Millisecond
}

// complete returns when all memory is there; not nil: it can't be, and the machine
// ends so. For vCPUs and the supervisor, which the hardware waits for; the first that
// needs it does the work.
func (l *lateMemory) complete() *ending {
	if !l.pending.Load() {
		return nil
	}
	l.once.Do(func() {
		err := guarded("completing guest memory", func() error {
			if err := l.machine.AttachRest(); err != nil || !l.spec.Plan.Files.HasLate() {
				return err
			}
			return l.load()
		})
		switch {
		case errors.As(err, new(changedError)):
			l.failed = &ending{Outcome: Outcome{Reason: ImageChanged, Detail: err.Error()}}
		case err != nil:
			l.failed = failure(err)
		}
		l.pending.Store(false)
		close(l.finished)
	})
	return l.failed
}

// await returns when the supervisor or a vCPU has completed memory. Who calls does not do
// it himself, since memory goes away with the hardware, which does not wait for him.
func (l *lateMemory) await(ctx context.Context) error {
	if !l.pending.Load() {
		return nil
	}
	notify(l.wanted)
	select {
	case <-l.finished:
		if l.failed != nil {
			return ErrNotRunning
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load copies what was mapped at the start.
func (l *lateMemory) load() error {
	begin := time.Now()
	err := l.spec.Plan.Files.LayLate(l.mem)
	l.spec.Timeline.Span("text copied", begin, time.Now())
	// A file that is truncated while it is read may be read as zeroes, without an error.
	if what := l.spec.Image.Changed(); what != "" {
		return changedError(what)
	}
	if changed := l.spec.changedFile(true); changed != nil { // what was copied before does not matter
		return changed
	}
	return err
}
