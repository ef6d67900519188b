package machinetest

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
)

// SoftCPUs is how many vCPUs a machine on the software processor can have.
func SoftCPUs(t testing.TB) int {
	t.Helper()
	h, err := soft.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	return h.MaxProcessors()
}
