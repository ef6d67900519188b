package mayfly

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReportsAreFew(t *testing.T) {
	var got []string
	r := &reports{to: func(err error) { got = append(got, err.Error()) }}
	now := time.Unix(1, 0)
	bad := errors.New("a bad ring")
	for range 10_000 {
		r.from("disk a", bad, now)
	}
	if len(got) != reportBurst || got[0] != "disk a: a bad ring" {
		t.Fatalf("%d reports of 10000, the first %q", len(got), got[0])
	}
	if r.from("disk b", bad, now); len(got) != reportBurst+1 {
		t.Error("one device's reports silence another's")
	}
	r.from("disk a", bad, now.Add(reportEvery))
	if len(got) != reportBurst+2 || !strings.Contains(got[reportBurst+1], "9992 reports before") {
		t.Errorf("after a while: %q", got[reportBurst+1:])
	}
	if r.from("disk a", bad, now.Add(reportEvery+time.Second)); len(got) != reportBurst+2 {
		t.Error("more than one after that time")
	}
	got = nil
	for range 100 {
		r.from("disk a", bad, now.Add(1000*time.Hour))
	}
	if len(got) != reportBurst {
		t.Errorf("%d reports after a long silence", len(got))
	}
}

// New's configuration keeps its limits over a machine's restarts.
func TestReportersShareTheirLimits(t *testing.T) {
	n := 0
	c := Config{Report: func(error) { n++ }}.withDefaults()
	for range 100 {
		c.reporter("rng")(errors.New("a bad ring"))
	}
	if n != reportBurst {
		t.Errorf("%d reports", n)
	}
	if (&Config{}).reporter("rng") != nil {
		t.Error("somebody is told without a Report")
	}
}
