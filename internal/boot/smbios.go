package boot

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/smbios"
)

// smbiosTables are entry point and tables after the MP table of that length, or the
// tables elsewhere where there is no room for them.
func smbiosTables(m *Machine, mpTable int) (pieces []piece, err error) {
	if m.SMBIOS == nil {
		return nil, nil
	}
	c := *m.SMBIOS
	if c.CPUs == 0 {
		c.CPUs = m.CPUs
	}
	if c.Memory == 0 {
		c.Memory = m.Memory
	}
	at := memory.Addr(layout.MPTableAddr+mpTable+smbios.Align-1) &^ (smbios.Align - 1)
	all, err := smbios.Build(uint64(at), c)
	if err == nil && int(at)+len(all) <= layout.BIOSTablesEnd {
		return []piece{{at, all}}, nil
	}
	if err != nil && !errors.Is(err, smbios.ErrPlace) {
		return nil, &layout.ConfigError{Field: "SMBIOS", Msg: err.Error()}
	}
	entry, tables, err := smbios.Split(layout.SMBIOSAddr, c)
	if err != nil {
		return nil, &layout.ConfigError{Field: "SMBIOS", Msg: err.Error()}
	}
	if most := layout.VMGenIDAddr - layout.SMBIOSAddr; len(tables) > most {
		return nil, &layout.ConfigError{Field: "SMBIOS", Msg: fmt.Sprintf("%d bytes of tables: at most %d have a place; give the machine a disk or a vsock for what is larger", len(tables), most)}
	}
	return []piece{{at, entry}, {layout.SMBIOSAddr, tables}}, nil
}
