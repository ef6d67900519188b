package machine

import "github.com/mayfly-vm/mayfly/internal/hypervisor"

// Model-specific registers of a start.
const (
	msrMiscEnable  = 0x1A0 // Intel's
	msrMTRRDefType = 0x2FF
)

// startMSRs are the registers that firmware would have set: MTRRs enabled with
// the default type write-back, and on Intel fast strings, without which Linux
// copies slowly, in addition to the two bits that KVM has set (no BTS, no PEBS).
func startMSRs(leaves []hypervisor.CPUID) []hypervisor.MSR {
	list := []hypervisor.MSR{{Index: msrMTRRDefType, Value: 1<<11 | 6}}
	const genu = 0x756e6547 // EBX of leaf 0, "GenuineIntel"
	if len(leaves) > 0 && leaves[0].Leaf == 0 && leaves[0].EBX == genu {
		list = append(list, hypervisor.MSR{Index: msrMiscEnable, Value: 1<<12 | 1<<11 | 1})
	}
	return list
}

// prepare brings a vCPU into the state in which the guest expects it; entry is the
// first one's.
func (c *vcpu) prepare(leaves []hypervisor.CPUID, entry *hypervisor.State) error {
	khz, _ := c.proc.TSCKHz() // 0 where unknown: the guest then measures
	list := hypervisor.Place(leaves, c.id, c.spec.CPUs, khz)
	hypervisor.Restrict(list, c.spec.Features)
	if err := c.proc.SetCPUID(list); err != nil {
		return err
	}
	if err := c.proc.SetMSRs(startMSRs(leaves)); err != nil {
		return err
	}
	if c.id != 0 {
		return nil // waits for its start-up IPI
	}
	for _, r := range c.spec.Plan.Files.Ranges() {
		if !c.proc.Prefault(r.Addr, r.Size) {
			break
		}
	}
	return c.proc.SetState(entry)
}
