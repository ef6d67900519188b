// Package rebuildtest compares the guests' committed programs with their sources.
package rebuildtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Identical fails unless make, in the test's directory, builds the bytes of the
// committed file of that name. They are compared for Debian bookworm's compiler, gcc
// 12; with another one the source only has to build, and the test is skipped then.
func Identical(t *testing.T, name string, committed []byte) {
	t.Helper()
	for _, tool := range []string{"make", "gcc", "ld", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: %s cannot be rebuilt from src", tool, name)
		}
	}
	out := filepath.Join(t.TempDir(), name)
	if b, err := exec.Command("make", "-s", "OUT="+out).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, b)
	}
	version, err := exec.Command("gcc", "-dumpversion").Output()
	if err != nil {
		t.Fatal(err)
	}
	if v := strings.TrimSpace(string(version)); v != "12" {
		t.Skipf("found gcc %s, expected 12: it builds, but its bytes cannot be compared", v)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, committed) {
		t.Errorf("%s is not what src builds: run make in this directory and commit the result", name)
	}
}
