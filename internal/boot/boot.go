// Package boot writes what a guest finds in memory at its start, kernel and initrds
// excepted: start info or boot_params, command line, ACPI, MP and SMBIOS tables; and
// gives the state in which the first vCPU enters the kernel.
package boot

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/linuxboot"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
	"github.com/mayfly-vm/mayfly/smbios"
)

// Machine is what the tables say of a machine and its plan does not.
type Machine struct {
	CPUs        int
	Memory      uint64         // bytes
	Watchdog    bool           // there is one
	SMBIOS      *smbios.Config // nil: no tables
	SetupHeader []byte         // of a bzImage, for Linux's 64-bit protocol; nil: none
}

// piece is something to be written to guest memory.
type piece struct {
	addr memory.Addr
	data []byte
}

// Write writes the boot data to mem and returns the first vCPU's state at entry.
// What doesn't fit is a *layout.ConfigError.
func Write(p *layout.Plan, m *Machine, mem *memory.Map) (entry hypervisor.State, err error) {
	entry, gdt := entryState(p)
	pieces, err := tables(p, m)
	if err != nil {
		return entry, err
	}
	pieces = append(pieces, piece{pvh.GDTAddr, gdt}, piece{layout.CmdlineAddr, append([]byte(p.Cmdline), 0)})
	if p.Platform == layout.PlatformLinux {
		pieces = append(pieces, piece{layout.ResetAddr, resetCode})
	}
	for _, w := range pieces {
		if _, err := mem.WriteAt(w.data, int64(w.addr)); err != nil {
			return entry, fmt.Errorf("writing boot data: %w", err)
		}
	}
	return entry, nil
}

// tables are ACPI, MP and SMBIOS tables, and what the protocol hands over.
func tables(p *layout.Plan, m *Machine) ([]piece, error) {
	config := acpiConfig(p, m)
	t, err := acpi.Build(layout.ACPIAddr, config)
	if err != nil {
		return nil, err
	}
	mp, err := acpi.MPTable(layout.MPTableAddr, config)
	if err != nil {
		return nil, err
	}
	pieces, err := smbiosTables(m, len(mp))
	if err != nil {
		return nil, err
	}
	start, err := startData(p, m, t.RSDP)
	if err != nil {
		return nil, err
	}
	return append(append(pieces, start...), piece{layout.ACPIAddr, t.Bytes}, piece{layout.MPTableAddr, mp}), nil
}

// startData is the start info, and boot_params with page tables made of it where the
// kernel is entered by Linux's 64-bit protocol.
func startData(p *layout.Plan, m *Machine, rsdp uint64) ([]piece, error) {
	si := &pvh.StartInfo{Version: 1, Cmdline: layout.CmdlineAddr, RSDP: rsdp, MemMap: p.MemMap}
	if r := p.Initrd; r.Size > 0 {
		si.Modules = []pvh.Module{{Addr: uint64(r.Addr), Size: r.Size}}
	}
	info, memMap, err := si.Encode(pvh.Layout{Info: layout.StartInfoAddr, MemMap: layout.MemMapAddr})
	if err != nil {
		return nil, err
	}
	pieces := []piece{{layout.StartInfoAddr, info}, {layout.MemMapAddr, memMap}}
	if p.Protocol != kernel.Linux64 {
		return pieces, nil
	}
	zero, err := linuxboot.BootParams(si, m.SetupHeader)
	if err != nil {
		return nil, err
	}
	return append(pieces, piece{layout.ZeroPageAddr, zero}, piece{layout.PageTablesAddr, linuxboot.PageTables(layout.PageTablesAddr)}), nil
}
