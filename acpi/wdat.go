package acpi

import "encoding/binary"

// Watchdog is a watchdog with the registers of internal/device/wdat: four ports of 32 bits,
// control, count, left and status.
type Watchdog struct {
	Port uint16 // of the first, a multiple of 4; 0: there is no watchdog
	// Period is the unit of the countdown in milliseconds; Min and Max are how many
	// periods it may have.
	Period, Min, Max uint32
}

const (
	watchdogPorts   = 16
	watchdogControl = 0
	watchdogCount   = 4
	watchdogLeft    = 8
	watchdogStatus  = 12
)

func (w Watchdog) check(bad func(string, ...any) error) error {
	switch {
	case w.Port == 0:
		return nil
	case w.Port%4 != 0:
		return bad("a watchdog at port %#x, expected a multiple of 4", w.Port)
	case w.Period == 0 || w.Min > w.Max || w.Max == 0:
		return bad("a watchdog with %d to %d periods of %d ms", w.Min, w.Max, w.Period)
	}
	return nil
}

// Actions and instructions of a WDAT.
const (
	wdatReset      = 1
	wdatGetLeft    = 4
	wdatGetCount   = 5
	wdatSetCount   = 6
	wdatGetRunning = 8
	wdatSetRunning = 9
	wdatGetStopped = 10
	wdatSetStopped = 11
	wdatGetStatus  = 32
	wdatSetStatus  = 33

	wdatReadValue  = 0
	wdatReadCount  = 1
	wdatWriteValue = 2
	wdatWriteCount = 3

	wdatEnabled = 1 << 0
	wdatStopped = 1 << 7 // in sleep states
)

// wdat returns the watchdog action table (Microsoft, "Hardware Watchdog Timers
// Design Specification"). Behind the header: u32 length of the next 32 bytes, the
// place on a PCI bus (all ones: none) in u16, u8, u8, u8 and three reserved bytes,
// u32 period in milliseconds, u32 greatest and least count, u8 flags and three
// reserved bytes, u32 number of entries. An entry is u8 action, u8 instruction,
// u16 reserved, a register as a generic address, u32 value, u32 mask.
func wdat(w Watchdog) []byte {
	le := binary.LittleEndian
	b := newTable("WDAT", 1)
	b = le.AppendUint32(b, 32)
	b = append(b, 0xFF, 0, 0xFF, 0xFF, 0xFF, 0, 0, 0)
	b = le.AppendUint32(b, w.Period)
	b = le.AppendUint32(b, w.Max)
	b = le.AppendUint32(b, w.Min)
	b = append(b, wdatEnabled|wdatStopped, 0, 0, 0)
	entries := [...]struct {
		action, instruction byte
		register            uint16
		value, mask         uint32
	}{
		{wdatReset, wdatWriteValue, watchdogLeft, 1, 1},
		{wdatGetLeft, wdatReadCount, watchdogLeft, 0, 1<<32 - 1},
		{wdatGetCount, wdatReadCount, watchdogCount, 0, 1<<32 - 1},
		{wdatSetCount, wdatWriteCount, watchdogCount, 0, 1<<32 - 1},
		{wdatGetRunning, wdatReadValue, watchdogControl, 1, 1},
		{wdatSetRunning, wdatWriteValue, watchdogControl, 1, 1},
		{wdatGetStopped, wdatReadValue, watchdogControl, 0, 1},
		{wdatSetStopped, wdatWriteValue, watchdogControl, 0, 1},
		{wdatGetStatus, wdatReadValue, watchdogStatus, 1, 1},
		{wdatSetStatus, wdatWriteValue, watchdogStatus, 1, 1},
	}
	b = le.AppendUint32(b, uint32(len(entries)))
	for _, e := range entries {
		// 32 bits wide, accessed as 32 bits: with less, older Linux accesses ports that
		// it has not reserved.
		b = append(b, e.action, e.instruction, 0, 0, spaceIO, 32, 0, 3)
		b = le.AppendUint64(b, uint64(w.Port+e.register))
		b = le.AppendUint32(b, e.value)
		b = le.AppendUint32(b, e.mask)
	}
	return sealTable(b)
}
