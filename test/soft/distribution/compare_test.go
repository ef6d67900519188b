package distribution

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// noise is what differs from run to run of the same program on the same processor.
var noise = []struct {
	of *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`(?m)^\d+:\d\d:\d\d( load avg: [\d.]+)? `), ""},                                    // python's regression tests
	{regexp.MustCompile(`(?m)^== .*\n`), ""},                                                               // and what they say of the machine
	{regexp.MustCompile(`(?m) -- test_\w+ passed in .*$`), ""},                                             // of what took long
	{regexp.MustCompile(`(?m)^stress-ng: metrc: .*\n`), ""},                                                // how much it did
	{regexp.MustCompile(`[\d.]+ (min|m|sec|s|ms|us|seconds|msec)\b( [\d.]+ (sec|s)\b)?`), "N s"},           // durations
	{regexp.MustCompile(`\b[\d.]+(s|ms|us)\b`), "Ns"},                                                      //
	{regexp.MustCompile(`0x[0-9a-f]{6,16}\b`), "0xADDRESS"},                                                //
	{regexp.MustCompile(`\b(pid|PID|tid|TID|process|thread)[ =:]+\d+`), "$1 N"},                            //
	{regexp.MustCompile(`\[\d+\]`), "[N]"},                                                                 //
	{regexp.MustCompile(`tmp[a-z0-9_]{6,8}\b`), "TMP"},                                                     //
	{regexp.MustCompile(`(?m)^(stress-ng: \S+ +\[N\] (stressor|setting|dispatching|defaulting).*)\n`), ""}, // what it found
	{regexp.MustCompile(`(?m) in N s(, [\d.]+ [KM]B/s| \([^)]*/s\))`), " in N s"},                          //
}

// lines are the lines of an output without noise.
func lines(s string) []string {
	for _, n := range noise {
		s = n.of.ReplaceAllString(s, n.by)
	}
	return strings.Split(strings.TrimRight(s, "\n"), "\n")
}

// difference are the lines that only one of two outputs has, each as often as it has it more.
func difference(guest, native string) (onlyGuest, onlyNative []string) {
	count := map[string]int{}
	for _, l := range lines(guest) {
		count[l]++
	}
	for _, l := range lines(native) {
		count[l]--
	}
	for _, l := range slices.Sorted(maps.Keys(count)) {
		for range max(0, count[l]) {
			onlyGuest = append(onlyGuest, l)
		}
		for range max(0, -count[l]) {
			onlyNative = append(onlyNative, l)
		}
	}
	return onlyGuest, onlyNative
}

// judge reports the cases of the kernel's suite that fail, but for what is explained, and removes them.
func judge(t *testing.T, guest results) {
	t.Helper()
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(guest)) {
		if !strings.HasPrefix(name, kernelSuite+"/") {
			continue
		}
		bad := slices.DeleteFunc(lines(guest[name]), func(l string) bool {
			return l == "exit 0" || !strings.HasPrefix(l, "exit ") && !strings.Contains(l, "[FAIL]")
		})
		if bad = unexplained(name, bad); len(bad) > 0 {
			t.Errorf("%s fails\n%s", name, show("guest", bad))
		} else {
			passed++
		}
		delete(guest, name)
	}
	if passed > 0 {
		t.Logf("%d cases of %s succeed", passed, kernelSuite)
	}
}

// compare reports the cases whose outputs differ, but for what is explained.
func compare(t *testing.T, guest, native results) {
	t.Helper()
	same, different, passed := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(native)) {
		if succeeded(native[name]) {
			passed++
		}
		g, n := difference(guest[name], native[name])
		if g, n = unexplained(name, g), unexplained(name, n); len(g)+len(n) == 0 {
			same++
			continue
		}
		different++
		t.Errorf("%s differs\n%s%s", name, show("guest", g), show("native", n))
	}
	if len(guest) != len(native) {
		t.Errorf("%d cases in the guest, %d natively", len(guest), len(native))
	}
	t.Logf("%d cases, of which %d succeed natively; %d give the same, %d not", len(native), passed, same, different)
}

// show lists the first of the lines.
func show(where string, list []string) string {
	const most = 12
	var b strings.Builder
	for i, l := range list {
		if i == most {
			fmt.Fprintf(&b, "  %s: … and %d more lines\n", where, len(list)-most)
			break
		}
		fmt.Fprintf(&b, "  %s: %.300s\n", where, l)
	}
	return b.String()
}

func TestDifference(t *testing.T) {
	g, n := difference("0:00:01 load avg: 2.10 [1/7] test_int\nok 1\nRan 3 tests in 0.123s\nnot ok 2\nexit 1\n",
		"0:00:09 load avg: 0.10 [1/7] test_int\nok 1\nRan 3 tests in 7.000s\nok 2\nexit 0\n")
	if !slices.Equal(g, []string{"exit 1", "not ok 2"}) || !slices.Equal(n, []string{"exit 0", "ok 2"}) {
		t.Errorf("guest %q, native %q", g, n)
	}
}
