package mayfly

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/device/pvpanic"
	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/smbios"
)

// SMBIOS is what a machine says of itself in SMBIOS tables.
type SMBIOS = smbios.Config

// Watchdog is what happens when a guest that has started its watchdog is silent
// for too long.
type Watchdog uint8

const (
	NoWatchdog      Watchdog = iota // the machine has none
	WatchdogRestart                 // a reset, as the guest's own: see Config.OnReboot
	WatchdogExit                    // the machine ends with Hung
)

// Places of what is no virtio device.
const (
	portPVPanic  = 0x505
	portWatchdog = 0x620
	// vmGenIDAddr lies below the ACPI tables, in memory that is reserved.
	vmGenIDAddr = acpiAddr - 0x1000
	// smbiosAddr is where tables go that have no room behind the MP table.
	smbiosAddr = 0xC0000
)

// addPlatform makes the devices that are neither virtio nor of every PC.
func (b *board) addPlatform() error {
	if err := b.ports.Add("pvpanic", portPVPanic, pvpanic.Size, pvpanic.New(pvpanic.Config{OnEvent: b.guestSays})); err != nil {
		return err
	}
	var err error
	if b.genID, err = vmgenid.New(vmgenid.Config{Memory: b.mem, Addr: vmGenIDAddr, Notify: b.power.Renewed}); err != nil {
		return err
	}
	if b.vm.cfg.Watchdog == NoWatchdog {
		return nil
	}
	b.watchdog = wdat.New(wdat.Config{OnExpire: b.expired, Expired: b.vm.expired})
	b.vm.expired = false
	return b.ports.Add("watchdog", portWatchdog, wdat.Size, b.watchdog)
}

// guestSays takes pvpanic's events, which as the console's text may be a process's doing.
func (b *board) guestSays(e pvpanic.Event) {
	if e&pvpanic.Panicked != 0 {
		b.signs.sayPanic()
	}
}

// expired is the watchdog's word.
func (b *board) expired() {
	const silent = "the guest started its watchdog and then was silent"
	if b.vm.cfg.Watchdog == WatchdogExit {
		b.end(Outcome{Reason: Hung, Detail: silent})
		return
	}
	if report := b.vm.cfg.reporter("watchdog"); report != nil {
		report(errors.New(silent + "; the machine is reset"))
	}
	b.endWatchdog()
}

// acpiConfig is the machine as ACPI describes it.
func (vm *VM) acpiConfig() acpi.Config {
	c := vm.plan.acpiConfig(vm.cfg.CPUs)
	c.PVPanic, c.VMGenID = portPVPanic, vmGenIDAddr
	if vm.cfg.Watchdog != NoWatchdog {
		c.Watchdog = acpi.Watchdog{Port: portWatchdog, Period: uint32(wdat.Period.Milliseconds()), Min: wdat.MinCount, Max: wdat.MaxCount}
	}
	return c
}

// smbios returns what is to be laid where: entry point and tables behind the MP
// table of that length, or the tables elsewhere when there is no room.
func (vm *VM) smbios(mpTable int) (pieces []piece, err error) {
	if vm.cfg.SMBIOS == nil {
		return nil, nil
	}
	c := *vm.cfg.SMBIOS
	if c.CPUs == 0 {
		c.CPUs = vm.cfg.CPUs
	}
	if c.Memory == 0 {
		c.Memory = vm.cfg.Memory
	}
	at := memory.Addr(mpTableAddr+mpTable+smbios.Align-1) &^ (smbios.Align - 1)
	all, err := smbios.Build(uint64(at), c)
	if err == nil && int(at)+len(all) <= biosTablesEnd {
		return []piece{{at, all}}, nil
	}
	if err != nil && !errors.Is(err, smbios.ErrPlace) {
		return nil, &ConfigError{"SMBIOS", err.Error()}
	}
	entry, tables, err := smbios.Split(smbiosAddr, c)
	if err != nil {
		return nil, &ConfigError{"SMBIOS", err.Error()}
	}
	if most := vmGenIDAddr - smbiosAddr; len(tables) > most {
		return nil, &ConfigError{"SMBIOS", fmt.Sprintf("%d bytes of tables: at most %d have a place; give the machine a disk or a vsock for what is larger", len(tables), most)}
	}
	return []piece{{at, entry}, {smbiosAddr, tables}}, nil
}
