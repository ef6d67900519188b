package machinetest

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
)

// NeedsSoftCPUs skips a test that wants more vCPUs than a machine on the software processor can have.
func NeedsSoftCPUs(t testing.TB, n int) {
	t.Helper()
	h, err := soft.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if most := h.MaxProcessors(); n > most {
		t.Skipf("the software processor has %d vCPUs at most, the test wants %d", most, n)
	}
}
