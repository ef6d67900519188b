package check_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/mayfly-vm/mayfly/guest/check"
)

func TestParse(t *testing.T) {
	got, err := check.Parse(strings.NewReader("monitor: starting\r\nok 9 - before the plan\n1..3\r\n" +
		"ok 1 - cr4 is 0\r\n# ram: 0x7f9fc00\n\nnot ok 2 - start info: version # found 0x0, expected 0x1\n" +
		strings.Repeat("x", 10000) + "ok 3 - part of a long line\n# map: 0x0 0x9fc00 1\n# map: 0x100000 0x7f00000 1\n# no fact\n" +
		"ok 3 - modules # SKIP no modules\n# done\nok 4 - after the end\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := check.Report{
		Plan: 3,
		Points: []check.Point{
			{Number: 1, Title: "cr4 is 0", OK: true},
			{Number: 2, Title: "start info: version", Found: "0x0", Expected: "0x1"},
			{Number: 3, Title: "modules", OK: true, Skipped: true, Reason: "no modules"},
		},
		Facts: []check.Fact{{"ram", "0x7f9fc00"}, {"map", "0x0 0x9fc00 1"}, {"map", "0x100000 0x7f00000 1"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if f := got.Failed(); len(f) != 1 || f[0].String() != "FAIL  2 start info: version: found 0x0, expected 0x1" {
		t.Errorf("Failed() = %v", f)
	}
	if ram := got.Fact("ram"); ram != "0x7f9fc00" {
		t.Errorf("Fact(ram) = %q", ram)
	}
	if none := got.Fact("none"); none != "" {
		t.Errorf("Fact(none) = %q", none)
	}
}

func TestParseRefuses(t *testing.T) {
	broken := errors.New("broken pipe")
	tests := []struct {
		name, in string
		points   int
		want     error
	}{
		{"nothing", "", 0, check.ErrNoPlan},
		{"no plan", "ok 1 - a\n# done\n", 0, check.ErrNoPlan},
		{"plan that is no number", "1..many\n# done\n", 0, check.ErrNoPlan},
		{"plan too large", "1..1000000\n", 0, check.ErrNoPlan},
		{"plan alone", "1..2\n", 0, check.ErrIncomplete},
		{"stopped in between", "1..2\nok 1 - a\n", 1, check.ErrIncomplete},
		{"stopped before done", "1..1\nok 1 - a\n", 1, check.ErrIncomplete},
		{"done too early", "1..2\nok 1 - a\n# done\n", 1, check.ErrIncomplete},
		{"bail out", "1..2\nok 1 - a\nBail out! exception 14\n", 1, check.ErrIncomplete},
		{"bail out before the plan", "Bail out! entered in 64-bit mode\n", 0, check.ErrIncomplete},
		{"point missing", "1..3\nok 1 - a\nok 3 - c\n", 1, check.ErrOrder},
		{"point twice", "1..3\nok 1 - a\nok 1 - a\n", 1, check.ErrOrder},
		{"point beyond the plan", "1..1\nok 1 - a\nok 2 - b\n", 1, check.ErrOrder},
		{"run twice", "1..2\nok 1 - a\n1..2\nok 1 - a\n", 1, check.ErrOrder},
		{"endless facts", "1..1\n" + strings.Repeat("# a: b\n", 5000), 0, check.ErrTooMuch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := check.Parse(strings.NewReader(tt.in))
			if !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if len(r.Points) != tt.points {
				t.Errorf("%d points, want %d", len(r.Points), tt.points)
			}
		})
	}
	if _, err := check.Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1..1\nok 1 - a # SKIP b\n# done\n")
	f.Add("1..1\nnot ok 1 - a # found b, expected c\n# done\n")
	f.Add("1..2\r\nok 1 - a\n# k: v\nBail out! x\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := check.Parse(strings.NewReader(in))
		if len(r.Points) > r.Plan {
			t.Errorf("%d points of %d", len(r.Points), r.Plan)
		}
		if err == nil && len(r.Points) != r.Plan {
			t.Errorf("no error with %d points of %d", len(r.Points), r.Plan)
		}
		for i, p := range r.Points {
			if p.Number != i+1 || p.Skipped && !p.OK {
				t.Errorf("point %d: %+v", i+1, p)
			}
		}
	})
}
