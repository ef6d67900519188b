// Package hostkernel finds the kernels that the host's distribution installed.
package hostkernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Newest returns the vmlinuz-* of the highest version in a folder that can be read.
func Newest(dir string) (string, error) {
	const hint = "name one: mayfly run KERNEL"
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no kernel was named, and %w; %s", err, hint)
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "vmlinuz-") && !e.IsDir() {
			found = append(found, e.Name())
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no kernel was named, and there is no %s; %s", filepath.Join(dir, "vmlinuz-*"), hint)
	}
	slices.SortFunc(found, func(a, b string) int { return compareVersions(b, a) })
	for _, name := range found {
		if path := filepath.Join(dir, name); unix.Access(path, unix.R_OK) == nil {
			return path, nil
		}
	}
	first := filepath.Join(dir, found[0])
	return "", fmt.Errorf("no kernel was named, and none of the %d in %s can be read; sudo chmod +r %s, or %s", len(found), dir, first, hint)
}

// compareVersions orders as people count: 6.9 before 6.10, and 6.1.0-rc1 before 6.1.0.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if c := rank(a) - rank(b); c != 0 {
			return c
		}
		a, b = a[1:], b[1:]
	}
	return rank(a) - rank(b)
}

// rank orders what follows equal beginnings: a release candidate, nothing, anything else.
func rank(s string) int {
	switch {
	case strings.HasPrefix(s, "-rc"), strings.HasPrefix(s, "~"):
		return -1
	case s == "":
		return 0
	}
	return int(s[0])
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
