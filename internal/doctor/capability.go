package doctor

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/kvm"
)

// capability is one that Mayfly asks KVM for.
type capability struct {
	cap   kvm.Cap
	name  string // without KVM_CAP_
	since string // the Linux that brought it
	lacks string // what is lost without it; empty: no machine runs without it
}

// wanted is a function, not a variable: nothing is built at the start of a program that doesn't ask.
func wanted() []capability {
	return []capability{
		{kvm.CapUserMemory, "USER_MEMORY", "2.6.25", ""},
		{kvm.CapExtCPUID, "EXT_CPUID", "2.6.26", ""},
		{kvm.CapIRQRouting, "IRQ_ROUTING", "2.6.30", ""},
		{kvm.CapSignalMSI, "SIGNAL_MSI", "3.5", ""},
		{kvm.CapSplitIRQChip, "SPLIT_IRQCHIP", "4.4", ""},
		{kvm.CapImmediateExit, "IMMEDIATE_EXIT", "4.12", ""},
		{kvm.CapMPState, "MP_STATE", "2.6.26", "secondary CPUs can't be told from halted ones"},
		{kvm.CapGetTSCKHz, "GET_TSC_KHZ", "2.6.39", "the guest must measure its clock itself, which takes it some 10 ms"},
		{kvm.CapTSCDeadlineTimer, "TSC_DEADLINE_TIMER", "3.1", "the guest's timer needs two accesses a tick instead of one"},
		{kvm.CapX2APICAPI, "X2APIC_API", "4.8", "no more than 255 CPUs"},
		{kvm.CapReadonlyMem, "READONLY_MEM", "3.7", "each read of a virtio-mmio register leaves the guest"},
		{kvm.CapPreFaultMemory, "PRE_FAULT_MEMORY", "6.12", "the guest's first accesses to its memory each cost an exit"},
	}
}

// capabilities asks for each; what is there is summed in one line, what is missing gets its own. The error
// names one without which no machine runs.
func capabilities(dev KVM, r *Report) (lacking error) {
	var have, total int
	for _, c := range wanted() {
		total++
		n, err := dev.CheckExtension(c.cap)
		switch {
		case err != nil:
			r.add("KVM_CAP_"+c.name, Fail, err.Error(), "read the kernel's log: sudo dmesg | grep -i kvm")
		case n > 0:
			have++
		case c.lacks == "":
			lacking = fmt.Errorf("KVM lacks KVM_CAP_%s", c.name)
			r.add("KVM_CAP_"+c.name, Fail, "missing, and no machine runs without it", "use a host kernel of "+c.since+" or newer")
		default:
			r.add("KVM_CAP_"+c.name, Note, "missing: "+c.lacks, "a host kernel of "+c.since+" or newer may have it")
		}
	}
	r.add("capabilities", OK, fmt.Sprintf("%d of %d that Mayfly asks for", have, total), "")

	recommended, _ := dev.CheckExtension(kvm.CapNrVCPUs)
	most, _ := dev.CheckExtension(kvm.CapMaxVCPUs)
	if most == 0 {
		most = max(recommended, 4) // as the API document says for a missing capability
	}
	r.add("vCPUs", OK, fmt.Sprintf("up to %d in one machine, up to %d recommended", most, recommended), "")
	return lacking
}
