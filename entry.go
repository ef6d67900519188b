package mayfly

import (
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/linuxboot"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// piece is something to be laid in guest memory.
type piece struct {
	addr memory.Addr
	data []byte
}

// lay fills guest memory: files, tables, start info.
func (vm *VM) lay() error {
	err := vm.plan.layout.Lay(vm.mem)
	if changed := vm.changedFile(false); changed != nil { // also why it failed, where it did
		return changed
	}
	if err != nil {
		return err
	}
	machine := vm.acpiConfig()
	tables, err := acpi.Build(acpiAddr, machine)
	if err != nil {
		return err
	}
	mp, err := acpi.MPTable(mpTableAddr, machine)
	if err != nil {
		return err
	}
	si := vm.startInfo(tables.RSDP)
	info, memMap, err := si.Encode(pvh.Layout{Info: startInfoAddr, MemMap: memMapAddr})
	if err != nil {
		return err
	}
	_, gdt := vm.entryState()
	identity, err := vm.smbios(len(mp))
	if err != nil {
		return err
	}
	pieces := []piece{
		{pvh.GDTAddr, gdt},
		{acpiAddr, tables.Bytes},
		{mpTableAddr, mp},
		{cmdlineAddr, append([]byte(vm.plan.Cmdline), 0)},
		{startInfoAddr, info},
		{memMapAddr, memMap},
	}
	if vm.plan.Platform == PlatformLinux {
		pieces = append(pieces, piece{resetVectorAddr, resetCode})
	}
	if vm.plan.Protocol == kernel.Linux64 {
		zero, err := linuxboot.BootParams(si, vm.image.SetupHeader)
		if err != nil {
			return err
		}
		pieces = append(pieces, piece{zeroPageAddr, zero}, piece{pageTablesAddr, linuxboot.PageTables(pageTablesAddr)})
	}
	for _, p := range append(pieces, identity...) {
		if _, err := vm.mem.WriteAt(p.data, int64(p.addr)); err != nil {
			return fmt.Errorf("laying low memory: %w", err)
		}
	}
	return nil
}

// layLate lays what lay left for later. The guest runs already.
func (vm *VM) layLate() error {
	begin := time.Now()
	err := vm.plan.layout.LayLate(vm.mem)
	vm.cfg.Timeline.Span("text copied", begin, time.Now())
	if changed := vm.changedFile(true); changed != nil { // what was copied before is of no matter
		return changed
	}
	return err
}

func (vm *VM) startInfo(rsdp uint64) *pvh.StartInfo {
	si := &pvh.StartInfo{Version: 1, Cmdline: cmdlineAddr, RSDP: rsdp, MemMap: vm.plan.MemMap}
	if r := vm.plan.Initrd; r.Size > 0 {
		si.Modules = []pvh.Module{{Addr: uint64(r.Addr), Size: r.Size}}
	}
	return si
}

// Model-specific registers of a start.
const (
	msrMiscEnable  = 0x1A0 // Intel's
	msrMTRRDefType = 0x2FF
)

// startMSRs are the registers that firmware would have set: MTRRs enabled with
// the default type write-back, and on Intel fast strings, without which Linux
// copies slowly, beside the two bits that KVM has set (no BTS, no PEBS).
func startMSRs(leaves []hypervisor.CPUID) []hypervisor.MSR {
	list := []hypervisor.MSR{{Index: msrMTRRDefType, Value: 1<<11 | 6}}
	const genu = 0x756e6547 // EBX of leaf 0, "GenuineIntel"
	if len(leaves) > 0 && leaves[0].Leaf == 0 && leaves[0].EBX == genu {
		list = append(list, hypervisor.MSR{Index: msrMiscEnable, Value: 1<<12 | 1<<11 | 1})
	}
	return list
}

// prepare brings a processor into the state in which the guest expects it.
func (c *vcpu) prepare(leaves []hypervisor.CPUID) error {
	vm := c.board.vm
	khz, _ := c.proc.TSCKHz() // 0 where unknown: the guest then measures
	list := hypervisor.Place(leaves, c.id, vm.cfg.CPUs, khz)
	hypervisor.Restrict(list, vm.cfg.features())
	if err := c.proc.SetCPUID(list); err != nil {
		return err
	}
	if err := c.proc.SetMSRs(startMSRs(leaves)); err != nil {
		return err
	}
	if c.id != 0 {
		return nil // waits for its start-up IPI
	}
	for _, r := range vm.plan.layout.Ranges() {
		if !c.proc.Prefault(r.Addr, r.Size) {
			break
		}
	}
	s, _ := vm.entryState()
	return c.proc.SetState(&s)
}
