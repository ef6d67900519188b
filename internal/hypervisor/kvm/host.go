// Package kvm implements the interfaces of package hypervisor by KVM.
package kvm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kvm"
	"github.com/mayfly-vm/mayfly/memory"
)

// Guest-physical pages below 4 GiB that Intel's hardware needs: three for the
// TSS, one for the identity map. They lie in the hole, above any device.
const (
	tssAddr      = 0xFFFB_D000
	identityAddr = 0xFFFB_C000
)

type host struct {
	sys      *kvm.System
	max      int
	mmapSize int

	prefaultOnce sync.Once
	noPrefault   bool // set by CanPrefault: KVM_PRE_FAULT_MEMORY is missing

	cpuidOnce sync.Once
	cpuid     []hypervisor.CPUID
	cpuidErr  error
}

// DefaultPath is the KVM device.
const DefaultPath = kvm.DefaultPath

// Open opens the KVM device. What fails says what to do about it.
func Open(path string) (hypervisor.Host, error) {
	if path == "" {
		path = kvm.DefaultPath
	}
	Kind()
	sys, err := kvm.Open(path)
	switch {
	case err == nil:
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("%w; add yourself to the group that owns %s (usually `sudo usermod -aG kvm $USER`, then log in again)", err, path)
	case kvm.IsMissing(err):
		return nil, fmt.Errorf("%w; load the module (`sudo modprobe kvm_intel` or `kvm_amd`), and if that fails enable virtualisation in the firmware or, in a virtual machine, nested virtualisation", err)
	default:
		return nil, err
	}
	h := &host{sys: sys}
	if err := h.probe(path); err != nil {
		sys.Close()
		return nil, err
	}
	return h, nil
}

// probe asks for what no machine can do without.
func (h *host) probe(path string) error {
	v, err := h.sys.APIVersion()
	if err != nil {
		return fmt.Errorf("%s is no KVM device: %w", path, err)
	}
	if v != kvm.APIVersion {
		return fmt.Errorf("%s speaks KVM API version %d, not %d; a newer host kernel is needed", path, v, kvm.APIVersion)
	}
	for _, c := range []struct {
		cap  kvm.Cap
		name string
	}{{kvm.CapSplitIRQChip, "KVM_CAP_SPLIT_IRQCHIP"}, {kvm.CapImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"}} {
		if n, err := h.sys.CheckExtension(c.cap); err != nil || n == 0 {
			return fmt.Errorf("%s lacks %s; a host kernel of 4.12 or newer has it (`mayfly doctor` lists all): %w", path, c.name, kvm.ErrNotSupported)
		}
	}
	if h.mmapSize, err = h.sys.VCPUMmapSize(); err != nil {
		return err
	}
	if h.max, err = h.sys.CheckExtension(kvm.CapMaxVCPUs); err != nil || h.max == 0 {
		h.max = 4 // what the API document says when the capability is missing
	}
	return nil
}

func (h *host) MaxProcessors() int { return h.max }
func (h *host) Close() error       { return h.sys.Close() }

// Describe names the module that does the work.
func (h *host) Describe() string { return Kind() }

// Kind is the KVM module in use: "kvm_intel", "kvm_amd", "kvm_pvm" or, where
// none shows, "kvm".
func Kind() string { return kind() }

// kind is found out once, by Open: a confined process looks at no files.
var kind = sync.OnceValue(func() string {
	for _, k := range []string{"kvm_intel", "kvm_amd", "kvm_pvm"} {
		if _, err := os.Stat("/sys/module/" + k); err == nil {
			return k
		}
	}
	return "kvm"
})

// EmulatesKernelMode reports whether this host's KVM runs guest kernel mode in its
// instruction emulator alone, and so only small guests.
func EmulatesKernelMode() bool { return Kind() == "kvm_pvm" }

func (h *host) NewMachine(m *memory.Map, o hypervisor.Options) (hypervisor.Machine, error) {
	vm, err := h.sys.CreateVM()
	if err != nil {
		return nil, err
	}
	mc := &machine{host: h, vm: vm, fabric: fabric{vm: vm, pins: o.IOAPICPins}}
	if err := mc.setUp(m, o); err != nil {
		vm.Close()
		return nil, err
	}
	return mc, nil
}

type machine struct {
	host   *host
	vm     *kvm.VM
	fabric fabric

	slots []kvm.MemoryRegion // RAM, then what Show was given; the first is attached at once, the others by AttachRest
}

// setUp sets the first memory slot before anything else: with interrupt
// controllers or vCPUs there, KVM must wait for all readers of the old table.
func (mc *machine) setUp(m *memory.Map, o hypervisor.Options) error {
	mc.slots = slots(m, o.Eager)
	if err := mc.attach(0); err != nil {
		return err
	}
	if Kind() == "kvm_intel" {
		if err := mc.vm.SetIdentityMapAddr(identityAddr); err != nil {
			return err
		}
		if err := mc.vm.SetTSSAddr(tssAddr); err != nil {
			return err
		}
	}
	if err := mc.vm.EnableCap(kvm.CapSplitIRQChip, uint64(o.IOAPICPins)); err != nil {
		return err
	}
	if !o.PMU {
		// Older kernels refuse it; then CPUID alone denies that there are counters.
		const disable = 1
		_ = mc.vm.EnableCap(kvm.CapPMUCapability, disable)
	}
	if o.Processors > 255 {
		const use32BitIDs, noBroadcastQuirk = 1, 2
		return mc.vm.EnableCap(kvm.CapX2APICAPI, use32BitIDs|noBroadcastQuirk)
	}
	return nil
}

func (mc *machine) attach(i int) error {
	s := &mc.slots[i]
	if err := mc.vm.SetUserMemoryRegion(*s); err != nil {
		return fmt.Errorf("%d KiB of guest memory at %#x: %w", s.Size>>10, s.GuestAddr, err)
	}
	return nil
}

// Show implements hypervisor.Machine by a slot that is read-only to the guest.
func (mc *machine) Show(addr uint64, page []byte) bool {
	if n, err := mc.host.sys.CheckExtension(kvm.CapReadonlyMem); err != nil || n == 0 {
		return false
	}
	mc.slots = append(mc.slots, kvm.MemoryRegion{Slot: uint32(len(mc.slots)), Flags: kvm.MemReadonly, GuestAddr: addr,
		Size: uint64(len(page)), HostAddr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(page))))})
	return true
}

// Partial reports whether slots remain.
func (mc *machine) Partial() bool { return len(mc.slots) > 1 }

// AttachRest sets the remaining slots. A KVM that shadows page tables allocates
// 8 bytes a page for each slot, which for 16 GiB takes longer than all the rest
// of a start.
func (mc *machine) AttachRest() error {
	for i := 1; i < len(mc.slots); i++ {
		// A page that can't be shown is read as any device's register is.
		if err := mc.attach(i); err != nil && mc.slots[i].Flags&kvm.MemReadonly == 0 {
			return err
		}
	}
	return nil
}

// slots cuts RAM into memory slots: the first ends at eager, rounded up to what
// the largest pages need. eager lies in the first region.
func slots(m *memory.Map, eager uint64) (list []kvm.MemoryRegion) {
	const most = 4 << 40 // bytes: KVM takes fewer than 2^31 pages in a slot
	var add func(r *memory.Region, from, to uint64)
	add = func(r *memory.Region, from, to uint64) {
		if to-from > most {
			add(r, from, from+most)
			add(r, from+most, to)
			return
		}
		list = append(list, kvm.MemoryRegion{Slot: uint32(len(list)), GuestAddr: uint64(r.Addr) + from, Size: to - from,
			HostAddr: uint64(uintptr(r.Pointer())) + from})
	}
	const step = 128 << 20
	for i := range m.Regions() {
		r := &m.Regions()[i]
		cut := (eager + step - 1) &^ (step - 1)
		if i > 0 || cut == 0 || cut >= r.Size {
			add(r, 0, r.Size)
			continue
		}
		add(r, 0, cut)
		add(r, cut, r.Size)
	}
	return list
}

func (mc *machine) Close() error { return mc.vm.Close() }

// SendMSI delivers a message to the local APICs.
func (mc *machine) SendMSI(m bus.MSI) error {
	_, err := mc.vm.SignalMSI(m.Addr, m.Data)
	return err
}

// CPUID asks KVM once: the answer takes hundreds of microseconds on some hosts.
func (h *host) CPUID() ([]hypervisor.CPUID, error) {
	h.cpuidOnce.Do(func() {
		var list []kvm.CPUIDEntry
		if list, h.cpuidErr = h.sys.SupportedCPUID(); h.cpuidErr != nil {
			return
		}
		h.cpuid = make([]hypervisor.CPUID, len(list))
		for i := range list {
			e := &list[i]
			h.cpuid[i] = hypervisor.CPUID{Leaf: e.Function, Index: e.Index, Indexed: e.Flags&kvm.CPUIDSignificantIndex != 0,
				EAX: e.EAX, EBX: e.EBX, ECX: e.ECX, EDX: e.EDX}
		}
	})
	return h.cpuid, h.cpuidErr
}

// CanPrefault asks for KVM_PRE_FAULT_MEMORY, which Linux has from 6.12 on, and
// there only with nested paging.
func (h *host) CanPrefault() bool {
	h.prefaultOnce.Do(func() {
		n, err := h.sys.CheckExtension(kvm.CapPreFaultMemory)
		h.noPrefault = err != nil || n == 0
	})
	return !h.noPrefault
}

func (mc *machine) NewProcessor(id int) (hypervisor.Processor, error) {
	v, err := mc.vm.CreateVCPU(id, mc.host.mmapSize)
	if err != nil {
		return nil, err
	}
	return &processor{vcpu: v, noFault: mc.host.noPrefault}, nil
}
