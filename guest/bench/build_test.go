package bench_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/bench"
)

// The committed file must be what the source beside it gives. Another gcc may well give other bytes: the comparison
// is made with Debian bookworm's, gcc 12, and anything else only has to build.
func TestRebuildIsIdentical(t *testing.T) {
	for _, tool := range []string{"make", "gcc", "ld", "objcopy"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed: bench.elf can't be rebuilt from src", tool)
		}
	}
	out := filepath.Join(t.TempDir(), "bench.elf")
	if b, err := exec.Command("make", "-s", "OUT="+out).CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, b)
	}
	version, err := exec.Command("gcc", "-dumpversion").Output()
	if err != nil {
		t.Fatal(err)
	}
	if v := string(bytes.TrimSpace(version)); v != "12" {
		t.Skipf("found gcc %s, expected 12: it builds, but its bytes can't be compared", v)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bench.ELF) {
		t.Error("bench.elf is not what src gives: run make in guest/bench and commit the result")
	}
}
