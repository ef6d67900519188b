package report

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestMessagesAreShownInOrder(t *testing.T) {
	var shown []string
	q := NewQueue(func(s string) { shown = append(shown, s) })
	q.Flush(time.Hour) // nothing was reported
	for i := range 3 {
		q.Error(fmt.Errorf("disk %d", i))
	}
	q.Flush(time.Hour)
	if len(shown) != 3 || shown[0] != "mayfly: disk 0" || shown[2] != "mayfly: disk 2" {
		t.Errorf("shown %q", shown)
	}
}

// A standard error that nobody reads blocks only the goroutine that writes there.
func TestQueueBlocksNobody(t *testing.T) {
	unread := make(chan struct{})
	defer close(unread)
	q := NewQueue(func(string) { <-unread })
	for range 10 * waiting {
		q.Error(errors.New("a bad ring"))
	}
	q.Flush(time.Millisecond)
}
