package soft

import (
	"encoding/binary"
	"time"
)

// KVM's paravirtual clock: two model-specific registers, by which a guest names memory that gets
// the time. Source: Linux, Documentation/virt/kvm/x86/msr.rst.
const (
	msrKVMWallClock  = 0x4B56_4D00
	msrKVMSystemTime = 0x4B56_4D01
)

// Features of KVM that a guest finds in leaf 0x40000001.
const (
	kvmNoIODelay    = 1 << 1
	kvmClocks       = 1 << 3
	kvmClockStable  = 1 << 24
	kvmFeatures     = kvmNoIODelay | kvmClocks | kvmClockStable
	clockStableFlag = 1 << 0
)

// bootWall is the wall clock's time at tsc 0.
func (c *CPU) bootWall() time.Time { return c.clock.start }

// setWallClock writes a struct pvclock_wall_clock {u32 version, sec, nsec}.
func (c *CPU) setWallClock(addr uint64) bool {
	at := c.bootWall()
	b := binary.LittleEndian.AppendUint32(nil, 2)
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	return c.writeRAM(addr, b)
}

// setSystemTime writes a struct pvclock_vcpu_time_info {u32 version, pad; u64 tsc, system time;
// u32 multiplier; s8 shift; u8 flags, pad[2]}: nanoseconds are the time stamp counter's ticks.
func (c *CPU) setSystemTime(v uint64) bool {
	if v&1 == 0 {
		return true // switched off
	}
	b := binary.LittleEndian.AppendUint32(nil, 2)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, c.clock.offset)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 1<<31)
	b = append(b, 1, clockStableFlag, 0, 0)
	return c.writeRAM(v&^1, b)
}

// writeRAM writes within one page of memory.
func (c *CPU) writeRAM(addr uint64, b []byte) bool {
	page, write := c.ram.Page(addr &^ (pageSize - 1))
	off := addr & (pageSize - 1)
	if page == nil || !write || off+uint64(len(b)) > pageSize {
		return false
	}
	copy(page[off:], b)
	for i := 0; i < len(b); i += 8 {
		c.wrote(addr + uint64(i))
	}
	return true
}
