package main

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestReportsAreSaidInOrder(t *testing.T) {
	var said []string
	r := newReports(func(s string) { said = append(said, s) })
	r.flush(time.Hour) // nothing was reported
	for i := range 3 {
		r.report(fmt.Errorf("disk %d", i))
	}
	r.flush(time.Hour)
	if len(said) != 3 || said[0] != "mayfly: disk 0" || said[2] != "mayfly: disk 2" {
		t.Errorf("said %q", said)
	}
}

// Standard error that nobody reads stops nobody but who writes there.
func TestReportsBlockNobody(t *testing.T) {
	unread := make(chan struct{})
	defer close(unread)
	r := newReports(func(string) { <-unread })
	for range 10 * waitingReports {
		r.report(errors.New("a bad ring"))
	}
	r.flush(time.Millisecond)
}
