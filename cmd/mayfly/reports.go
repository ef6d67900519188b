package main

import (
	"sync/atomic"
	"time"
)

// reports says what devices report, from a goroutine of its own. Who reports is a device at work or a processor in the
// middle of a guest's access: on standard error that nobody reads it would stand for good, and the machine could not be killed.
type reports struct {
	say     func(string)
	todo    chan func()
	started atomic.Bool
}

// waitingReports is how many may wait; more are lost.
const waitingReports = 64

func newReports(say func(string)) *reports {
	return &reports{say: say, todo: make(chan func(), waitingReports)}
}

func (r *reports) report(err error) { r.message(programName + ": " + explain(err)) }

// message says s without waiting for who reads it.
func (r *reports) message(s string) {
	if !r.started.Swap(true) {
		go r.run()
	}
	select {
	case r.todo <- func() { r.say(s) }:
	default:
	}
}

func (r *reports) run() {
	for do := range r.todo {
		do()
	}
}

// flush waits until all that was reported is said, but no longer than limit.
func (r *reports) flush(limit time.Duration) {
	if !r.started.Load() {
		return
	}
	said := make(chan struct{})
	late := time.After(limit)
	select {
	case r.todo <- func() { close(said) }:
	case <-late:
		return
	}
	select {
	case <-said:
	case <-late:
	}
}
