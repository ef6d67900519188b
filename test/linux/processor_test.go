package linux

import (
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// isSoft reports whether guests run on the software processor.
func isSoft() bool { return *processor == string(mayfly.ProcessorSoft) }

// needsCPUs skips a test for which the processor has too few vCPUs.
func needsCPUs(t testing.TB, n int) {
	t.Helper()
	if isSoft() {
		machinetest.NeedsSoftCPUs(t, n)
	}
}

// needsKVM skips a test of what only KVM does.
func needsKVM(t testing.TB, why string) {
	t.Helper()
	if isSoft() {
		t.Skip("the software processor " + why)
	}
}
