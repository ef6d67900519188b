package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kvm"
	"github.com/mayfly-vm/mayfly/memory"
)

type processor struct {
	vcpu    *kvm.VCPU
	tid     atomic.Int32 // of the thread inside Run; 0: none
	kicked  atomic.Bool
	noFault bool // KVM_PRE_FAULT_MEMORY is missing or was refused
}

// Run enters the guest. The caller's goroutine is locked to its thread.
func (p *processor) Run(e *hypervisor.Exit) error {
	if p.tid.Load() == 0 {
		p.tid.Store(int32(unix.Gettid()))
	}
	for {
		err := p.vcpu.Run()
		if err == nil {
			p.describe(e)
			return nil
		}
		switch {
		case errors.Is(err, unix.EINTR):
			// In this order: a Kick before the swap is answered here; of one after it
			// the request stands. And always: a Kick is two steps, and a signal
			// between them (the Go runtime sends its own) may have returned for it
			// already; its late request would then stop every Run from now on.
			p.vcpu.RequestExit(false)
			if p.kicked.Swap(false) {
				*e = hypervisor.Exit{Kind: hypervisor.ExitKicked}
				return nil
			}
		case errors.Is(err, unix.EAGAIN): // woken without a start-up IPI
		default:
			return err
		}
	}
}

// Kick sets immediate_exit, then interrupts the thread. SIGURG is the signal
// that Go's runtime sends its own threads: every thread handles it, at no cost.
func (p *processor) Kick() {
	if p.kicked.Swap(true) {
		return
	}
	p.vcpu.RequestExit(true)
	if tid := p.tid.Load(); tid != 0 {
		_ = unix.Tgkill(os.Getpid(), int(tid), unix.SIGURG)
	}
}

func (p *processor) describe(e *hypervisor.Exit) {
	*e = hypervisor.Exit{}
	switch r := p.vcpu.ExitReason(); r {
	case kvm.ExitIO:
		port, size, write, data := p.vcpu.IO()
		e.Kind, e.Addr, e.Size, e.Data = hypervisor.ExitPortIn, uint64(port), size, data
		if write {
			e.Kind = hypervisor.ExitPortOut
		}
	case kvm.ExitMMIO:
		addr, write, data := p.vcpu.MMIO()
		e.Kind, e.Addr, e.Size, e.Data = hypervisor.ExitMMIORead, addr, len(data), data
		if write {
			e.Kind = hypervisor.ExitMMIOWrite
		}
	case kvm.ExitIOAPICEOI:
		e.Kind, e.Vector = hypervisor.ExitEOI, p.vcpu.EOIVector()
	case kvm.ExitHLT:
		e.Kind = hypervisor.ExitHalt
	case kvm.ExitShutdown:
		e.Kind = hypervisor.ExitShutdown
	case kvm.ExitFailEntry:
		reason, on := p.vcpu.FailEntry()
		e.Kind, e.Detail = hypervisor.ExitFailEntry, fmt.Sprintf("KVM_EXIT_FAIL_ENTRY: hardware reason %#x on host CPU %d", reason, on)
	case kvm.ExitInternalError:
		sub, data := p.vcpu.InternalError()
		e.Kind, e.Detail = hypervisor.ExitInternalError, internalError(sub, data)
	default:
		e.Kind, e.Detail = hypervisor.ExitOther, fmt.Sprintf("KVM exit reason %d", uint32(r))
	}
}

func internalError(sub uint32, data []uint64) string {
	name := "unknown"
	switch sub {
	case kvm.InternalErrorEmulation:
		name = "an instruction that KVM's emulator does not know"
	case kvm.InternalErrorSimulEx:
		name = "exceptions nested too deep"
	case kvm.InternalErrorDeliveryEv:
		name = "an exit while an event was delivered"
	case kvm.InternalErrorUnexpectedE:
		name = "an exit reason that KVM did not expect"
	}
	s := fmt.Sprintf("KVM_EXIT_INTERNAL_ERROR, suberror %d: %s", sub, name)
	if EmulatesKernelMode() {
		s += "; this host's KVM is kvm_pvm, which emulates guest kernel mode and so runs only small guests, not a stock Linux: use a host with kvm_intel or kvm_amd, or the software processor"
	}
	if len(data) > 0 {
		s += fmt.Sprintf(" (data %#x)", data)
	}
	return s
}

func (p *processor) Close() error { return p.vcpu.Close() }

func (p *processor) SetCPUID(list []hypervisor.CPUID) error {
	t := make([]kvm.CPUIDEntry, len(list))
	for i := range list {
		c := &list[i]
		t[i] = kvm.CPUIDEntry{Function: c.Leaf, Index: c.Index, EAX: c.EAX, EBX: c.EBX, ECX: c.ECX, EDX: c.EDX}
		if c.Indexed {
			t[i].Flags = kvm.CPUIDSignificantIndex
		}
	}
	return p.vcpu.SetCPUID(t)
}

func (p *processor) SetMSRs(list []hypervisor.MSR) error {
	t := make([]kvm.MSR, len(list))
	for i, m := range list {
		t[i] = kvm.MSR{Index: m.Index, Data: m.Value}
	}
	n, err := p.vcpu.SetMSRs(t)
	if err == nil && n < len(t) {
		return fmt.Errorf("KVM refuses MSR %#x = %#x", t[n].Index, t[n].Data)
	}
	return err
}

func (p *processor) TSCKHz() (int, error) { return p.vcpu.TSCKHz() }

func (p *processor) WasPaused() { _ = p.vcpu.KVMClockCtrl() } // refused by guests without kvmclock

func (p *processor) Activity() (hypervisor.Activity, error) {
	s, err := p.vcpu.MPState()
	if err != nil {
		return hypervisor.Running, err
	}
	switch s {
	case kvm.MPUninitialized, kvm.MPInitReceived:
		return hypervisor.Stalled, nil
	case kvm.MPHalted:
		r, err := p.vcpu.Regs()
		const interruptFlag = 1 << 9
		if err == nil && r.RFLAGS&interruptFlag == 0 {
			return hypervisor.Stalled, nil
		}
		return hypervisor.Idle, err
	}
	return hypervisor.Running, nil
}

func (p *processor) Translate(virtual uint64) (memory.Addr, bool) {
	a, ok, err := p.vcpu.Translate(virtual)
	return memory.Addr(a), ok && err == nil
}

func (p *processor) Prefault(addr memory.Addr, size uint64) bool {
	for size > 0 && !p.noFault {
		left, err := p.vcpu.PreFaultMemory(uint64(addr), size)
		switch {
		case errors.Is(err, unix.ENOENT): // a slot that is still to be attached
			return true
		case errors.Is(err, unix.EAGAIN):
		case err != nil:
			p.noFault = true
		}
		addr, size = addr+memory.Addr(size-left), left
	}
	return !p.noFault
}
