package machine

import (
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

	once    sync.Once
	pending atomic.Bool // complete has yet to return
	failed  *ending     // of complete
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
// ends so. For any goroutine; the first that needs it does the work.
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
	})
	return l.failed
}

// load copies what was mapped at the start.
func (l *lateMemory) load() error {
	begin := time.Now()
	err := l.spec.Plan.Files.LayLate(l.mem)
	l.spec.Timeline.Span("text copied", begin, time.Now())
	if changed := l.spec.changedFile(true); changed != nil { // what was copied before does not matter
		return changed
	}
	return err
}
