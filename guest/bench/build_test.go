package bench_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/guest/bench"
	"github.com/mayfly-vm/mayfly/guest/internal/rebuildtest"
)

func TestRebuildIsIdentical(t *testing.T) {
	rebuildtest.Identical(t, "bench.elf", bench.ELF)
}
