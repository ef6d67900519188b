package mayfly_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// A guest that writes to its text at once finds it whole, and what it wrote.
func TestAGuestMayWriteToItsText(t *testing.T) {
	for _, load := range []mayfly.Load{mayfly.LoadAuto, mayfly.LoadMap, mayfly.LoadCopy} {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			leavesNothing(t)
			path := file(t, "vmlinux", machinetest.SelfWriter(6<<20))
			start(t, mayfly.Config{Kernel: path, Load: load}).want(mayfly.PowerOff)
			if now, err := os.ReadFile(path); err != nil || string(now) != string(machinetest.SelfWriter(6<<20)) {
				t.Errorf("the guest wrote to the file: %v", err)
			}
		})
	}
}
