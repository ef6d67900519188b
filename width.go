package mayfly

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// leastWidth is how many bits a physical address has on any host with KVM:
// machines that end below need not ask, which costs time on some.
const leastWidth = 36

// physicalWidth is how many bits of a physical address a guest on these leaves
// can use: CPUID 0x80000008, EAX bits 7:0, or fewer if bits 23:16 say that the
// host's nested tables reach less far.
func physicalWidth(leaves []hypervisor.CPUID) uint {
	for i := range leaves {
		if leaves[i].Leaf == 0x80000008 {
			width, guest := uint(leaves[i].EAX&0xFF), uint(leaves[i].EAX>>16&0xFF)
			if guest != 0 && guest < width {
				width = guest
			}
			return max(width, leastWidth)
		}
	}
	return leastWidth
}

// checkWidth compares the end of RAM with what the host's processors can address:
// a guest that uses a page beyond crashes without a word.
func (vm *VM) checkWidth() error {
	last := vm.plan.ram[len(vm.plan.ram)-1]
	end := uint64(last.Addr) + last.Size
	if end <= 1<<leastWidth {
		return nil
	}
	leaves, err := vm.host.CPUID()
	if err != nil {
		return err
	}
	width := physicalWidth(leaves)
	if width >= 64 || end <= 1<<width {
		return nil
	}
	hole := end - vm.cfg.Memory // RAM above the hole ends that much higher
	return &ConfigError{"Memory", fmt.Sprintf("%d GiB end at guest-physical %#x: this host's processors address %d bits, which a machine with at most %d GiB stays below",
		vm.cfg.Memory>>30, end, width, (1<<width-hole)>>30)}
}
