package soft

import (
	crypto "crypto/rand"
	"math/rand/v2"
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
	if !same {
		_, _ = crypto.Read(seed[:]) // does not fail
	}
	return rand.NewChaCha8(seed)
}
