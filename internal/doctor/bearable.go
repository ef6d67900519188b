package doctor

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/hostmem"
)

// bearable says how large a machine this host can bear.
func (h Host) bearable(r *Report) {
	const name = "memory of machines"
	f, err := hostmem.Read(h.Root)
	if err != nil {
		r.add(name, Note, err.Error()+": machines are not checked against it", "mount /proc")
		return
	}
	found := fmt.Sprintf("%s available", hostmem.Size(f.Available))
	if f.Group < f.Available {
		found += fmt.Sprintf(", %s left in the control group", hostmem.Size(f.Group))
	}
	found += fmt.Sprintf(": up to %s in a machine with --prealloc", hostmem.Size(f.Most(true)))
	if f.Shadow == "" {
		r.add(name, OK, found+", more where the guest does not touch all", "")
		return
	}
	found += fmt.Sprintf(", %s without (%s, which takes %s of kernel memory for each GiB)", hostmem.Size(f.Most(false)), f.Shadow, hostmem.Size(hostmem.SlotBytes(1<<30, true)))
	r.add(name, Note, found, "use a host with EPT or NPT, and leave kvm's tdp_mmu on")
}
