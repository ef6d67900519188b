package soft

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// An instruction whose second access another processor has moved elsewhere comes to its end all the same.
func TestAnswersOfBefore(t *testing.T) {
	const first, second, third = 0x1000_0000, 0x1000_1000, 0x1000_2000
	var b io
	for round := range 10 {
		b.answered()
		b.again()
		if _, ok := b.ask(hypervisor.ExitMMIORead, first, 4, 0); !ok {
			continue
		}
		to := uint64(second)
		if round > 1 {
			to = third
		}
		if _, ok := b.ask(hypervisor.ExitMMIOWrite, to, 4, 1); ok && round > 1 {
			if len(b.done) != 2 {
				t.Errorf("%d answers", len(b.done))
			}
			return
		}
	}
	t.Errorf("no end, with %d answers", len(b.done))
}
