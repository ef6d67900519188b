package kernels

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"github.com/mayfly-vm/mayfly/lab/internal/debian"
)

// newestImage returns the newest image package of a series such as "6.12" and
// a flavour ("amd64" or "cloud-amd64") that apt knows. Debian serves the same
// image signed, and, in backports, also as "-unsigned"; the signed is taken
// when there is one of the version, since it is what people have installed.
func (m *maker) newestImage(series, flavour string) (debian.Package, error) {
	if err := m.UpdateLists(); err != nil {
		return debian.Package{}, err
	}
	out, err := exec.CommandContext(m.Context, "apt-cache", "pkgnames", "linux-image-"+series+".").Output()
	if err != nil {
		return debian.Package{}, fmt.Errorf("apt-cache pkgnames: %w", err)
	}
	name := pickImage(strings.Fields(string(out)), series, flavour)
	if name == "" {
		return debian.Package{}, fmt.Errorf("apt knows no package linux-image-%s*-%s; add Debian's archive (for 6.12 on bookworm: bookworm-backports or security) to its sources and run `apt-get update`", series, flavour)
	}
	return m.Candidate(name)
}

// pickImage chooses the newest image package among names, or returns "".
func pickImage(names []string, series, flavour string) string {
	best, bestVersion := "", []int(nil)
	for _, n := range names {
		rest := strings.TrimPrefix(n, "linux-image-")
		rest, unsigned := strings.CutSuffix(rest, "-unsigned")
		release, ok := strings.CutSuffix(rest, "-"+flavour)
		if !ok || !strings.HasPrefix(release, series+".") || strings.HasSuffix(release, "-cloud") || strings.HasSuffix(release, "-rt") {
			continue
		}
		v := numbers(release)
		if unsigned {
			v = append(v, 0)
		} else {
			v = append(v, 1)
		}
		if best == "" || compare(v, bestVersion) > 0 {
			best, bestVersion = n, v
		}
	}
	return best
}

// numbers splits a kernel's release such as "6.12.117+deb12" or "6.1.0-56"
// into its numbers.
func numbers(s string) (v []int) {
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(f)
		v = append(v, n)
	}
	return v
}

func compare(a, b []int) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return len(a) - len(b)
}
