package report

import (
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
)

// Queue shows messages from a goroutine of its own. Their senders are devices at work and vCPUs in the middle of a guest's
// access: a standard error that nobody reads must not block them, or the machine could not be killed.
type Queue struct {
	show    func(string)
	todo    chan func()
	started atomic.Bool
}

// waiting is how many messages may wait; more are lost.
const waiting = 64

// NewQueue returns a queue whose messages show writes.
func NewQueue(show func(string)) *Queue {
	return &Queue{show: show, todo: make(chan func(), waiting)}
}

// Error queues an error.
func (q *Queue) Error(err error) { q.Message(flags.Name + ": " + Explain(err)) }

// Message queues a message and never blocks.
func (q *Queue) Message(s string) {
	if !q.started.Swap(true) {
		go q.run()
	}
	select {
	case q.todo <- func() { q.show(s) }:
	default:
	}
}

func (q *Queue) run() {
	for do := range q.todo {
		do()
	}
}

// Flush waits until all messages are shown, but no longer than limit.
func (q *Queue) Flush(limit time.Duration) {
	if !q.started.Load() {
		return
	}
	shown := make(chan struct{})
	late := time.After(limit)
	select {
	case q.todo <- func() { close(shown) }:
	case <-late:
		return
	}
	select {
	case <-shown:
	case <-late:
	}
}
