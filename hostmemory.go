package mayfly

import (
	"os"

	"github.com/mayfly-vm/mayfly/internal/hostmem"
)

// checkMemory refuses a machine that would take more memory of the host than
// there is. Memory that the guest has yet to touch is not counted: a host may
// promise more than it has.
func (vm *VM) checkMemory() error {
	c := &vm.cfg
	m := hostmem.Machine{Memory: c.Memory, Prealloc: c.Prealloc, HugePages: c.HugePages, Nested: c.Nested, Reserve: c.HostReserve}
	if !m.Matters() {
		return nil
	}
	f, err := hostmem.Read(os.DirFS("/"))
	if err != nil {
		return nil // a host that tells nothing, such as one without /proc
	}
	if why := f.Check(m); why != "" {
		return &ConfigError{"Memory", why}
	}
	return nil
}
