package mayfly

import (
	"errors"
	"time"
)

// restGrace is how long the guest runs before watch completes its memory. RAM
// that it has not touched has time: its first instructions need the processors for
// themselves. Text in small pages has not.
func (b *board) restGrace() time.Duration {
	if b.vm.plan.layout.HasLate() {
		return 0
	}
	return time.Millisecond
}

// complete gives the guest what its first instructions do without, and returns
// when it is there: the rest of RAM, and memory in place of the file that its text
// was mapped from. For any goroutine; who first needs it does it.
func (b *board) complete() {
	if !b.partial.Load() {
		return
	}
	b.rest.Do(func() {
		err := guarded("completing guest memory", func() error {
			if err := b.machine.AttachRest(); err != nil || !b.vm.plan.layout.HasLate() {
				return err
			}
			return b.vm.layLate()
		})
		if errors.As(err, new(changedError)) {
			b.end(Outcome{Reason: ImageChanged, Detail: err.Error()})
		} else if err != nil {
			b.fail(err)
		}
		b.partial.Store(false)
	})
}
