package check_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/guest/internal/rebuildtest"
)

func TestRebuildIsIdentical(t *testing.T) {
	rebuildtest.Identical(t, "check.elf", check.ELF)
}
