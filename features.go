package mayfly

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
)

// features are what of the processor this machine's guest gets beyond the usual.
func (c *Config) features() hypervisor.Features {
	return hypervisor.Features{Nested: c.Nested, PMU: c.PMU}
}

// checkFeatures compares what is asked for with what the host's KVM offers.
func (vm *VM) checkFeatures() error {
	if !vm.cfg.Nested && !vm.cfg.PMU {
		return nil // asking costs time on some hosts
	}
	leaves, err := vm.host.CPUID()
	if err != nil {
		return err
	}
	offered, kind := hypervisor.Offered(leaves), vm.host.Describe()
	if vm.cfg.Nested && !offered.Nested {
		return &ConfigError{"Nested", fmt.Sprintf("this host's %s offers guests no virtualisation: it needs hardware virtualisation itself, and the module's parameter nested=1 (/sys/module/%[1]s/parameters/nested)", kind)}
	}
	if vm.cfg.PMU && !offered.PMU {
		return &ConfigError{"PMU", fmt.Sprintf("this host's %s offers guests no performance counters: the processor must have them, and the module kvm the parameter enable_pmu=1 (/sys/module/kvm/parameters/enable_pmu)", kind)}
	}
	return nil
}
