package checkguest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
)

func TestResult(t *testing.T) {
	good, skipped, bad := check.Point{Number: 1, Title: "cs", OK: true}, check.Point{Number: 2, Title: "timer", OK: true, Skipped: true, Reason: "one CPU"}, check.Point{Number: 3, Title: "ebx", Found: "0x1", Expected: "0x2"}
	cut := errors.New("the report ends before its plan")
	powerOff := mayfly.Outcome{Reason: mayfly.PowerOff}
	for name, c := range map[string]struct {
		points  []check.Point
		parse   error
		outcome mayfly.Outcome
		timeout error
		ok      bool
		want    string // in the text
	}{
		"all":      {points: []check.Point{good}, outcome: powerOff, ok: true, want: "All 1 points are as they must be."},
		"skipped":  {points: []check.Point{good, skipped}, outcome: powerOff, ok: true, want: "All 1 points that were checked are as they must be; 1 skipped."},
		"failed":   {points: []check.Point{good, bad}, outcome: powerOff, want: "1 of 2 points failed."},
		"none":     {outcome: powerOff},
		"crash":    {points: []check.Point{good}, parse: cut, outcome: mayfly.Outcome{Reason: mayfly.TripleFault, Detail: "at 0x100000"}, want: "ends before its plan, and the machine ended: " + string(mayfly.TripleFault) + ": at 0x100000"},
		"timeout":  {points: []check.Point{good}, parse: cut, outcome: mayfly.Outcome{Reason: mayfly.Killed}, timeout: context.DeadlineExceeded, want: "and was killed after 1m0s"},
		"late end": {points: []check.Point{good}, outcome: mayfly.Outcome{Reason: mayfly.TripleFault}, want: "The check is incomplete: the report is complete, but then"},
	} {
		r := newResult(check.Report{Plan: len(c.points), Points: c.points, Facts: []check.Fact{{Key: "tsc", Value: "stable"}}}, c.parse, c.outcome, c.timeout)
		if r.OK != c.ok {
			t.Errorf("%s: OK is %v", name, r.OK)
		}
		text := r.Text(false)
		if !strings.Contains(text, c.want) {
			t.Errorf("%s: no %q in\n%s", name, c.want, text)
		}
		if strings.Contains(text, "stable") || !strings.Contains(r.Text(true), "tsc: stable\n") {
			t.Errorf("%s: facts are shown where they are not asked for, or not where they are", name)
		}
		if !c.ok && strings.Contains(text, "as they must be") {
			t.Errorf("%s: a failure reads as a success:\n%s", name, text)
		}
	}
}

// A guest that writes without end is cut off at the limit.
func TestCaptureIsBounded(t *testing.T) {
	c := &capture{}
	if n, err := c.Write(make([]byte, captureLimit)); n != captureLimit || err != nil {
		t.Fatalf("up to the limit: %d, %v", n, err)
	}
	if n, err := c.Write([]byte{0}); n != 0 || err == nil {
		t.Errorf("beyond it: %d, %v", n, err)
	}
	if len(c.bytes()) != captureLimit {
		t.Errorf("%d bytes are kept", len(c.bytes()))
	}
}
