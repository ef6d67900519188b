package kvm

import (
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/headertest"
)

// TestConstantsMatchHeaders compares every number and layout written out in this
// package with those of the kernel header.
func TestConstantsMatchHeaders(t *testing.T) {
	headertest.Compare(t, "linux/kvm.h", map[string]uint64{
		"KVM_GET_API_VERSION": getAPIVersion, "KVM_CREATE_VM": createVM, "KVM_CHECK_EXTENSION": checkExtension,
		"KVM_GET_VCPU_MMAP_SIZE": getVCPUMmapSize, "KVM_GET_SUPPORTED_CPUID": getSupportedCPUID, "KVM_CREATE_VCPU": createVCPU,
		"KVM_SET_USER_MEMORY_REGION": setUserMemoryRegion, "KVM_SET_TSS_ADDR": setTSSAddr, "KVM_SET_IDENTITY_MAP_ADDR": setIdentityMapAddr,
		"KVM_SET_GSI_ROUTING": setGSIRouting, "KVM_IRQFD": irqFD, "KVM_IOEVENTFD": ioEventFD, "KVM_ENABLE_CAP": enableCap, "KVM_SIGNAL_MSI": signalMSI,
		"KVM_RUN": run, "KVM_GET_REGS": getRegs, "KVM_SET_REGS": setRegs, "KVM_GET_SREGS": getSregs, "KVM_SET_SREGS": setSregs,
		"KVM_TRANSLATE": translate, "KVM_SET_MSRS": setMSRs, "KVM_GET_LAPIC": getLAPIC, "KVM_SET_LAPIC": setLAPIC,
		"KVM_SET_CPUID2": setCPUID2, "KVM_GET_MP_STATE": getMPState, "KVM_SET_MP_STATE": setMPState, "KVM_GET_TSC_KHZ": getTSCKHz,
		"KVM_KVMCLOCK_CTRL": kvmclockCtrl, "KVM_PRE_FAULT_MEMORY": preFaultMemory,
		"KVM_IOEVENTFD_FLAG_DATAMATCH": ioEventDatamatch, "KVM_IOEVENTFD_FLAG_PIO": ioEventPIO, "KVM_IOEVENTFD_FLAG_DEASSIGN": ioEventDeassign,
		"KVM_IRQFD_FLAG_DEASSIGN": irqFDDeassign,
		"KVM_CAP_USER_MEMORY":     uint64(CapUserMemory), "KVM_CAP_SET_TSS_ADDR": uint64(CapSetTSSAddr), "KVM_CAP_EXT_CPUID": uint64(CapExtCPUID),
		"KVM_CAP_NR_VCPUS": uint64(CapNrVCPUs), "KVM_CAP_NR_MEMSLOTS": uint64(CapNrMemslots), "KVM_CAP_MP_STATE": uint64(CapMPState),
		"KVM_CAP_SYNC_MMU": uint64(CapSyncMMU), "KVM_CAP_IRQ_ROUTING": uint64(CapIRQRouting), "KVM_CAP_IRQFD": uint64(CapIRQFD),
		"KVM_CAP_IOEVENTFD": uint64(CapIOEventFD), "KVM_CAP_SET_IDENTITY_MAP_ADDR": uint64(CapSetIdentityMapAddr),
		"KVM_CAP_ADJUST_CLOCK": uint64(CapAdjustClock), "KVM_CAP_GET_TSC_KHZ": uint64(CapGetTSCKHz), "KVM_CAP_MAX_VCPUS": uint64(CapMaxVCPUs),
		"KVM_CAP_TSC_DEADLINE_TIMER": uint64(CapTSCDeadlineTimer), "KVM_CAP_SIGNAL_MSI": uint64(CapSignalMSI),
		"KVM_CAP_READONLY_MEM": uint64(CapReadonlyMem), "KVM_CAP_SPLIT_IRQCHIP": uint64(CapSplitIRQChip), "KVM_CAP_MAX_VCPU_ID": uint64(CapMaxVCPUID),
		"KVM_CAP_X2APIC_API": uint64(CapX2APICAPI), "KVM_CAP_IMMEDIATE_EXIT": uint64(CapImmediateExit),
		"KVM_CAP_X86_DISABLE_EXITS": uint64(CapX86DisableExits), "KVM_CAP_PMU_CAPABILITY": uint64(CapPMUCapability), "KVM_CAP_PRE_FAULT_MEMORY": uint64(CapPreFaultMemory),
		"KVM_MEM_READONLY": MemReadonly,
		"KVM_EXIT_IO":      uint64(ExitIO), "KVM_EXIT_HYPERCALL": uint64(ExitHypercall), "KVM_EXIT_HLT": uint64(ExitHLT), "KVM_EXIT_MMIO": uint64(ExitMMIO),
		"KVM_EXIT_SHUTDOWN": uint64(ExitShutdown), "KVM_EXIT_FAIL_ENTRY": uint64(ExitFailEntry), "KVM_EXIT_INTR": uint64(ExitIntr),
		"KVM_EXIT_INTERNAL_ERROR": uint64(ExitInternalError), "KVM_EXIT_SYSTEM_EVENT": uint64(ExitSystemEvent), "KVM_EXIT_IOAPIC_EOI": uint64(ExitIOAPICEOI),
		"sizeof(struct kvm_regs)": uint64(unsafe.Sizeof(Regs{})), "sizeof(struct kvm_sregs)": uint64(unsafe.Sizeof(Sregs{})),
		"sizeof(struct kvm_segment)": uint64(unsafe.Sizeof(Segment{})), "sizeof(struct kvm_dtable)": uint64(unsafe.Sizeof(DTable{})),
		"sizeof(struct kvm_cpuid_entry2)": uint64(unsafe.Sizeof(CPUIDEntry{})), "sizeof(struct kvm_userspace_memory_region)": uint64(unsafe.Sizeof(MemoryRegion{})),
		"sizeof(struct kvm_irq_routing_entry)": uint64(unsafe.Sizeof(IRQRoute{})), "sizeof(struct kvm_msr_entry)": uint64(unsafe.Sizeof(MSR{})),
		"sizeof(struct kvm_lapic_state)":           uint64(unsafe.Sizeof(LAPIC{})),
		"offsetof(struct kvm_run, exit_reason)":    uint64(unsafe.Offsetof(runPage{}.exitReason)),
		"offsetof(struct kvm_run, immediate_exit)": uint64(unsafe.Offsetof(runPage{}.immediateExit)),
		"offsetof(struct kvm_run, io)":             uint64(unsafe.Offsetof(runPage{}.exit)),
		"offsetof(struct kvm_run, io.data_offset)": uint64(unsafe.Offsetof(runPage{}.exit)) + 8,
		"offsetof(struct kvm_run, mmio.len)":       uint64(unsafe.Offsetof(runPage{}.exit)) + 16,
		"offsetof(struct kvm_run, mmio.is_write)":  uint64(unsafe.Offsetof(runPage{}.exit)) + 20,
		"offsetof(struct kvm_run, internal.data)":  uint64(unsafe.Offsetof(runPage{}.exit)) + 8,
	})
}
