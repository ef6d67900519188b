// Package user runs tests a second time as an ordinary user who may open /dev/kvm.
package user

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// The user and the group that /dev/kvm has: nobody's, and one that is no other's.
const (
	userID = 65534
	kvmID  = 64232
)

// packages have the tests, as paths below the module. What needs Go's toolchain is skipped.
var packages = []struct{ path, skip string }{
	{".", "TestDevicesAreLinkedOnDemand|TestAliasDocs"},
	{"cmd/mayfly", "TestProgramIsSlim"},
	{"internal/broker", ""}, {"internal/confine", ""}, {"internal/landlock", ""}, {"internal/seccomp", ""},
	{"internal/sys/uring", ""}, {"virtio/blk", "TestAllocations"}, {"virtio/console", ""}, {"virtio/vsock", ""},
}

// run has a /dev/kvm of the group kvmID in namespaces of its own, and becomes the user.
const run = `set -e
mount -t tmpfs none "$DEV"
mknod "$DEV/kvm" c "$MAJOR" "$MINOR"
chgrp "$KVM" "$DEV/kvm"
chmod 660 "$DEV/kvm"
mount --bind "$DEV/kvm" /dev/kvm
cd "$DIR"
exec setpriv --reuid "$ID" --regid "$ID" --groups "$KVM" --inh-caps=-all --bounding-set=-all "$@"`

func TestAsUser(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: runs tests of other packages")
	}
	machinetest.NeedKVM(t)
	if os.Geteuid() != 0 {
		t.Skip("not as root: this user is an ordinary one already")
	}
	var st unix.Stat_t
	if err := unix.Stat("/dev/kvm", &st); err != nil {
		t.Fatal(err)
	}
	top, err := os.MkdirTemp("", "mu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	programs, dev, tmp := filepath.Join(top, "programs"), filepath.Join(top, "dev"), filepath.Join(top, "t")
	for _, d := range []string{programs, dev, tmp} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, userID, userID); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"", "defect"} {
		machinetest.BuildPrograms(t, filepath.Join(programs, "tag"+tag), tag)
	}
	for i, p := range packages {
		t.Run(p.path, func(t *testing.T) {
			// Where it is may be closed to the user: the tests get a copy of their files.
			dir := filepath.Join(top, fmt.Sprint(i))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			from := filepath.Join("../..", p.path)
			if out, err := exec.Command("go", "test", "-c", "-o", filepath.Join(dir, "test"), "./"+from).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if _, err := os.Stat(filepath.Join(from, "testdata")); err == nil {
				if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS(filepath.Join(from, "testdata"))); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", run, "sh", "./test", "-test.v", "-test.skip="+p.skip)
			cmd.Env = []string{
				"PATH=" + os.Getenv("PATH"), "HOME=" + tmp, "TMPDIR=" + tmp, machinetest.ProgramsDir + "=" + programs, "CI=" + os.Getenv("CI"),
				"DEV=" + dev, "DIR=" + dir, "KVM=" + fmt.Sprint(kvmID), "ID=" + fmt.Sprint(userID),
				"MAJOR=" + fmt.Sprint(unix.Major(st.Rdev)), "MINOR=" + fmt.Sprint(unix.Minor(st.Rdev)),
			}
			out, err := cmd.CombinedOutput()
			report(t, string(out))
			if err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// report counts what has passed, names what was skipped, and shows what failed.
func report(t *testing.T, out string) {
	t.Helper()
	passed, failed := strings.Count(out, "--- PASS: "), strings.Contains(out, "--- FAIL: ") || !strings.Contains(out, "\nPASS\n")
	for line := range strings.Lines(out) {
		if strings.Contains(line, "--- SKIP: ") {
			t.Logf("%s", strings.TrimSpace(line))
		}
	}
	t.Logf("%d tests passed", passed)
	if failed {
		t.Errorf("%s", out)
	}
	if passed == 0 {
		t.Error("no test has run")
	}
}
