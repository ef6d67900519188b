package hostkernel

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVersionsAreOrderedAsPeopleCount(t *testing.T) {
	want := []string{"vmlinuz-4.19.0-27-amd64", "vmlinuz-5.9.16", "vmlinuz-5.10.0-8-amd64", "vmlinuz-5.10.0-33-amd64", "vmlinuz-6.1.0-rc1", "vmlinuz-6.1.0", "vmlinuz-6.1.0-40-amd64", "vmlinuz-6.12.1", "vmlinuz-10.0"}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, compareVersions)
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestNewestKernel(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Newest(filepath.Join(dir, "nowhere")); err == nil || !strings.Contains(err.Error(), "there is no") {
		t.Errorf("no folder: %v", err)
	}
	put("config-9.9", 0o644)
	if _, err := Newest(dir); err == nil || !strings.Contains(err.Error(), "vmlinuz-*; name one: mayfly run KERNEL") {
		t.Errorf("no kernel: %v", err)
	}
	put("vmlinuz-6.9.1", 0o644)
	put("vmlinuz-6.10.0", 0o644)
	if err := os.Mkdir(filepath.Join(dir, "vmlinuz-7.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Newest(dir); err != nil || filepath.Base(got) != "vmlinuz-6.10.0" {
		t.Errorf("got %q, %v", got, err)
	}
	if os.Geteuid() == 0 {
		return // root reads everything
	}
	put("vmlinuz-6.11.0", 0)
	if got, err := Newest(dir); err != nil || filepath.Base(got) != "vmlinuz-6.10.0" {
		t.Errorf("with an unreadable one: %q, %v", got, err)
	}
	for _, name := range []string{"vmlinuz-6.9.1", "vmlinuz-6.10.0"} {
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Newest(dir); err == nil || !strings.Contains(err.Error(), "none of the 3") {
		t.Errorf("none readable: %v", err)
	}
}
