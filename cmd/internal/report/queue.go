package report

import (
	"context"
	"errors"
	"log/slog"
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
	openFiles()
	return &Queue{show: show, todo: make(chan func(), waiting)}
}

// Error queues an error.
func (q *Queue) Error(err error) { q.Message(flags.Name + ": " + Explain(err)) }

// Enabled, Handle, WithAttrs and WithGroup make a Queue the slog.Handler of a machine, whose records are of one error each,
// their attribute "error".
func (q *Queue) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (q *Queue) Handle(_ context.Context, r slog.Record) error {
	err := errors.New(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(error); ok {
			err = e
		}
		return true
	})
	q.Error(err)
	return nil
}

// WithAttrs implements slog.Handler.
func (q *Queue) WithAttrs([]slog.Attr) slog.Handler { return q }

// WithGroup implements slog.Handler.
func (q *Queue) WithGroup(string) slog.Handler { return q }

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
