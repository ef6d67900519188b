package mayfly_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A program links only the devices that it names: the package itself needs none, nor
// what they need of the host.
func TestDevicesAreLinkedOnDemand(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no Go toolchain here")
	}
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	const module = "github.com/mayfly-vm/mayfly"
	if !slices.Contains(deps, module+"/internal/machine") {
		t.Fatalf("these are not the package's: %q", deps)
	}
	for _, p := range []string{"virtio/blk", "virtio/vnet", "virtio/vsock", "virtio/console", "virtio/rng", "disk",
		"internal/sys/tap", "internal/sys/vhost", "internal/sys/uring"} {
		if slices.ContainsFunc(deps, func(d string) bool { return d == module+"/"+p || strings.HasPrefix(d, module+"/"+p+"/") }) {
			t.Errorf("%s is linked", p)
		}
	}
}
