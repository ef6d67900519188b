package devices

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// ear keeps what the monitor and its devices report in one test.
type ear struct {
	mu   sync.Mutex
	all  []string
	more chan struct{}
}

var ears sync.Map // testing.TB to *ear

// hearing is the ear of a test.
func hearing(t testing.TB) *ear {
	e, known := ears.LoadOrStore(t, &ear{more: make(chan struct{})})
	if !known {
		t.Cleanup(func() { ears.Delete(t) })
	}
	return e.(*ear)
}

// report is what a Config's Report wants.
func (e *ear) report(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, err.Error())
	close(e.more)
	e.more = make(chan struct{})
}

func (e *ear) heard() ([]string, chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all, e.more
}

// String is all that was reported, for a message.
func (e *ear) String() string {
	all, _ := e.heard()
	return "The monitor reported:\n" + strings.Join(all, "\n")
}

// reports waits until the monitor has reported something with all of the words.
func (g *guest) reports(words ...string) {
	g.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		list, more := g.ear.heard()
	next:
		for _, r := range list {
			for _, w := range words {
				if !strings.Contains(r, w) {
					continue next
				}
			}
			return
		}
		select {
		case <-more:
		case <-deadline:
			g.t.Fatalf("the monitor did not report %q. %s", words, g.ear)
		}
	}
}

// silent wants that the monitor had nothing to report.
func (g *guest) silent() {
	g.t.Helper()
	if all, _ := g.ear.heard(); len(all) > 0 {
		g.t.Errorf("the monitor reported:\n%s", strings.Join(all, "\n"))
	}
}
