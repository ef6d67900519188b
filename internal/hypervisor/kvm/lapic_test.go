package kvm

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// Registers of the local APIC's page (Intel SDM volume 3, table 11-1).
const (
	lapicTPR      = 0x80
	lapicSpurious = 0xF0  // bit 8: enabled
	lapicIRR      = 0x200 // 8 registers of 32 vectors, 16 bytes apart
)

// What a snapshot needs of the local APIC: a message that the processor has not
// taken is in its registers, from which another machine's processor continues. So
// devices send none of it again.
func TestLocalAPICHoldsWhatWasSent(t *testing.T) {
	mc, p := spinning(t)
	_, q := spinning(t)
	saved, err := p.vcpu.LAPIC()
	if err != nil {
		t.Fatal(err)
	}
	saved[lapicSpurious], saved[lapicSpurious+1], saved[lapicTPR] = 0xFF, 1, 0x30
	if err := p.vcpu.SetLAPIC(saved); err != nil {
		t.Fatal(err)
	}
	if err := mc.SendMSI(bus.MSI{Addr: 0xFEE0_0000, Data: 0x41}); err != nil {
		t.Fatal(err)
	}
	if saved, err = p.vcpu.LAPIC(); err != nil {
		t.Fatal(err)
	}
	if err := q.vcpu.SetLAPIC(saved); err != nil {
		t.Fatal(err)
	}
	restored, err := q.vcpu.LAPIC()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		name string
		regs *[1024]byte
	}{{"saved", (*[1024]byte)(saved)}, {"restored", (*[1024]byte)(restored)}} {
		if irr := l.regs[lapicIRR+0x41/32*16]; irr != 1<<(0x41%32) || l.regs[lapicTPR] != 0x30 {
			t.Errorf("%s: IRR of vectors 0x40-0x47 is %#x, the task priority %#x", l.name, irr, l.regs[lapicTPR])
		}
	}
}
