package devices

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// reportLog keeps what the monitor and its devices report in one test.
type reportLog struct {
	mu   sync.Mutex
	all  []string
	more chan struct{}
}

var reportLogs sync.Map // testing.TB to *reportLog

// reportsOf is the log of a test.
func reportsOf(t testing.TB) *reportLog {
	e, known := reportLogs.LoadOrStore(t, &reportLog{more: make(chan struct{})})
	if !known {
		t.Cleanup(func() { reportLogs.Delete(t) })
	}
	return e.(*reportLog)
}

// report is for a device's Report.
func (e *reportLog) report(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, err.Error())
	close(e.more)
	e.more = make(chan struct{})
}

// Enabled, Handle, WithAttrs and WithGroup make it a machine's slog.Handler.
func (e *reportLog) Enabled(context.Context, slog.Level) bool { return true }

func (e *reportLog) Handle(_ context.Context, r slog.Record) error {
	e.report(errors.New(r.Message))
	return nil
}

func (e *reportLog) WithAttrs([]slog.Attr) slog.Handler { return e }

func (e *reportLog) WithGroup(string) slog.Handler { return e }

func (e *reportLog) list() ([]string, chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all, e.more
}

// String is all that was reported, for a message.
func (e *reportLog) String() string {
	all, _ := e.list()
	return "The monitor reported:\n" + strings.Join(all, "\n")
}

// reports waits until the monitor has reported something with all of the words.
func (g *guest) reports(words ...string) {
	g.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		list, more := g.reported.list()
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
			g.t.Fatalf("the monitor did not report %q. %s", words, g.reported)
		}
	}
}

// silent wants that the monitor had nothing to report.
func (g *guest) silent() {
	g.t.Helper()
	if all, _ := g.reported.list(); len(all) > 0 {
		g.t.Errorf("the monitor reported:\n%s", strings.Join(all, "\n"))
	}
}
