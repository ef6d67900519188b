package machinetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// ProgramsDir names a folder in which ProgramsWith has built programs, below a folder for the
// tags: it is for tests that are run by a user who can't build.
const ProgramsDir = "MAYFLY_TEST_PROGRAMS"

// Programs builds all of Mayfly's programs, as users get them, and returns their folder.
func Programs(t testing.TB) string { return ProgramsWith(t, "") }

// ProgramsWith is Programs with a build tag; "": none.
func ProgramsWith(t testing.TB, tag string) string {
	t.Helper()
	if built := os.Getenv(ProgramsDir); built != "" {
		return filepath.Join(built, "tag"+tag)
	}
	dir := t.TempDir()
	BuildPrograms(t, dir, tag)
	return dir
}

// BuildPrograms builds them into a folder.
func BuildPrograms(t testing.TB, dir, tag string) {
	t.Helper()
	const module = "github.com/mayfly-vm/mayfly/cmd/"
	args := []string{"build", "-tags=" + tag, "-o", dir + "/"}
	for _, name := range []string{"mayfly", "mayfly-unpack", "mayfly-config", "mayfly-usernet", "mayfly-syscalls", "mayfly-broker", "mayfly-machine", "mayfly-doc"} {
		args = append(args, module+name)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
}
