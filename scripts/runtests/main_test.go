package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNeedsLab(t *testing.T) {
	for _, c := range []struct {
		imports string
		want    bool
	}{
		{"", false},
		{"testing example.com/m/labels", false},
		{"testing example.com/other/lab", false},
		{"testing example.com/m/lab", true},
		{"testing example.com/m/lab/kernels", true},
	} {
		if got := needsLab("example.com/m", strings.Fields(c.imports)); got != c.want {
			t.Errorf("%q: %v", c.imports, got)
		}
	}
}

// TestPackagesAreSorted: the lab's own tests that need it are below test/lab; those
// beside its code run everywhere.
func TestPackagesAreSorted(t *testing.T) {
	plain, inLab, err := packages(t.Context(), []string{"../../lab", "../../test/..."})
	if err != nil {
		t.Fatal(err)
	}
	paths := func(list []pkg) (out []string) {
		for _, p := range list {
			out = append(out, strings.TrimPrefix(p.path, "github.com/mayfly-vm/mayfly/"))
		}
		return out
	}
	if got := paths(plain); !slices.Equal(got, []string{"lab", "test/user"}) {
		t.Errorf("without the lab: %q", got)
	}
	for _, want := range []string{"test/devices", "test/lab", "test/lab/inside", "test/linux", "test/vhost"} {
		if got := paths(inLab); !slices.Contains(got, want) {
			t.Errorf("%s is not among those in the lab: %q", want, got)
		}
	}
}

// TestSoftSubsetExists: the packages and tests that softSubset names are there.
func TestSoftSubsetExists(t *testing.T) {
	for suffix, run := range softSubset {
		files, err := filepath.Glob("../.." + suffix + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		var all []byte
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		for name := range strings.SplitSeq(strings.Trim(run, "^()$"), "|") {
			if !strings.Contains(string(all), "\nfunc "+name+"(t *testing.T)") {
				t.Errorf("%s has no %s", suffix, name)
			}
		}
	}
}

func TestFuzzTargetsAreFound(t *testing.T) {
	names, err := fuzzTargets("../../kernel")
	if err != nil || len(names) == 0 {
		t.Fatalf("%q, %v", names, err)
	}
	for _, n := range names {
		if !strings.HasPrefix(n, "Fuzz") {
			t.Errorf("%q", n)
		}
	}
}

func TestSkipReasons(t *testing.T) {
	const output = "=== RUN   TestX\n    a_test.go:3: a remark\n    x_test.go:12: only with -update\n--- SKIP: TestX (0.00s)\n"
	s := newSkip(key{"p", "TestX"}, output)
	if s.name != "p TestX" || s.reason != "only with -update" || !s.allowed() {
		t.Errorf("%+v, allowed: %v", s, s.allowed())
	}
	if s := newSkip(key{"p", "TestY"}, "=== RUN   TestY\n    y_test.go:1: gcc is not installed\n"); s.allowed() {
		t.Errorf("%+v is allowed", s)
	}
}
