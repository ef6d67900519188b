// Package inside runs in the lab as a whole, to test lab.Main.
package inside

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/lab"
)

const failEnv = "MAYFLY_LAB_SELFTEST"

func TestMain(m *testing.M) {
	lab.Main(m, func(context.Context) (lab.Job, error) {
		return lab.Job{
			Files: map[string]string{"source": "inside_test.go"},
			Env:   []string{failEnv + "=" + os.Getenv(failEnv)},
		}, nil
	})
}

func TestInside(t *testing.T) {
	if v := lab.Inside(); v != "native" && v != "nest" {
		t.Errorf("Inside() = %q", v)
	}
	for _, name := range []string{"source", "testdata/file"} {
		if b, err := os.ReadFile(name); err != nil || len(b) == 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if v, err := unix.IoctlRetInt(int(f.Fd()), 0xAE00); v != 12 || err != nil { // KVM_GET_API_VERSION
		t.Errorf("KVM API version %d, %v", v, err)
	}
}

// TestFails fails on request: whoever changes lab.Main should see once that a
// failure in the lab is reported as one.
func TestFails(t *testing.T) {
	if os.Getenv(failEnv) == "fail" {
		t.Fatal("as asked")
	}
}
