package headertest

import (
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// recorder keeps the failures of a test instead of reporting them.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func TestCompare(t *testing.T) {
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler (cc) on this machine")
	}
	right := map[string]uint64{"EPERM": 1, "ENOENT": 2, "ESRCH": 3, "EINTR": 4, "EIO": 5, "ENXIO": 6, "E2BIG": 7, "ENOEXEC": 8, "EBADF": 9, "sizeof(int)": 4}
	for _, c := range []struct {
		name, expr string
		value      uint64
		want       string // part of the failure
	}{
		{"all equal", "ECHILD", 10, ""},
		{"one differs", "ECHILD", 11, "ECHILD is 0xa in linux/errno.h, 0xb here"},
		{"one name is newer than the header", "ENEWERTHANTHEHEADER", 1, ""},
	} {
		want := maps.Clone(right)
		want[c.expr] = c.value
		r := &recorder{TB: t}
		Compare(r, "linux/errno.h", want)
		if got := strings.Join(r.failures, "\n"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: failures %q", c.name, got)
		}
	}
	r := &recorder{TB: t}
	Compare(r, "linux/errno.h", map[string]uint64{"EPERM": 1, "ENEWERTHANTHEHEADER": 1})
	if len(r.failures) != 1 {
		t.Errorf("half of the names are missing: failures %q", r.failures)
	}
}
