package soft

import (
	"fmt"
	"math/rand/v2"

	"golang.org/x/sys/unix"
)

// random is RDRAND and RDSEED.
func (c *CPU) random(u *uop) status {
	c.setReg(u, u.RM, u.OperandSize, c.entropy.Uint64())
	c.flags.setBits(flagsStatus, flagCF)
	return next
}

// newEntropy makes the source of RDRAND and RDSEED: ChaCha8 with a seed of the host's, or with the same in each run.
func newEntropy(same bool) *rand.ChaCha8 {
	var seed [32]byte
	// Not crypto/rand, which each start of the program would pay for, on KVM too: ten page faults. So few
	// bytes come whole.
	if !same {
		if _, err := unix.Getrandom(seed[:], 0); err != nil {
			panic(fmt.Sprintf("the host's random generator: %v", err)) // every Linux that Go runs on has one
		}
	}
	return rand.NewChaCha8(seed)
}
