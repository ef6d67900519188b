package reports

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestReportsAreFew(t *testing.T) {
	var got []string
	r := New(func(name string, err error) { got = append(got, name+"|"+err.Error()) })
	now := time.Unix(1, 0)
	bad := errors.New("a bad ring")
	for range 10_000 {
		r.from("disk a", bad, now)
	}
	if len(got) != burst || got[0] != "disk a|disk a: a bad ring" {
		t.Fatalf("%d reports of 10000, the first %q", len(got), got[0])
	}
	if r.from("disk b", bad, now); len(got) != burst+1 {
		t.Error("one device's reports silence another's")
	}
	r.from("disk a", bad, now.Add(interval))
	if len(got) != burst+2 || !strings.Contains(got[burst+1], "9992 reports before") {
		t.Errorf("after a while: %q", got[burst+1:])
	}
	if r.from("disk a", bad, now.Add(interval+time.Second)); len(got) != burst+2 {
		t.Error("more than one after that time")
	}
	got = nil
	for range 100 {
		r.from("disk a", bad, now.Add(1000*time.Hour))
	}
	if len(got) != burst {
		t.Errorf("%d reports after a long silence", len(got))
	}
}

// A machine's devices are made anew at a restart, and ask for their function again.
func TestReportersShareTheirLimits(t *testing.T) {
	n := 0
	r := New(func(name string, err error) {
		if n++; name != "rng" || err.Error() != "rng: a bad ring" {
			t.Errorf("%q: %v", name, err)
		}
	})
	for range 100 {
		r.For("rng")(errors.New("a bad ring"))
		r.Report("rng", errors.New("a bad ring"))
	}
	if n != burst {
		t.Errorf("%d reports", n)
	}
}

func TestReportsForNobody(t *testing.T) {
	r := New(nil)
	if r.For("rng") != nil {
		t.Error("devices have somebody to report to")
	}
	r.Report("rng", errors.New("a bad ring"))
}
