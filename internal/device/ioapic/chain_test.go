package ioapic_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/device/power"
	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/internal/statetest"
	"github.com/mayfly-vm/mayfly/memory"
)

// platform is an I/O APIC with the devices that drive its lines.
type platform struct {
	statetest.Fabric
	apic   *ioapic.Device
	serial *serial.Device
	power  *power.Device
	id     *vmgenid.Device
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	mem, err := memory.New([]memory.Range{{Size: 1 << 20}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	p := &platform{}
	p.apic = ioapic.New(8, &p.Fabric)
	p.serial = serial.New(serial.Config{Line: p.apic.Line(4)})
	p.power = power.New(power.Config{Line: p.apic.Line(5)})
	if p.id, err = vmgenid.New(vmgenid.Config{Memory: mem, Addr: 0xE000, Notify: p.power.Renewed}); err != nil {
		t.Fatal(err)
	}
	return p
}

// restore copies all states in the order that the packages ask for.
func (p *platform) restore(t *testing.T, from *platform) {
	t.Helper()
	for _, d := range []struct{ from, to statetest.Device }{
		{from.apic, p.apic}, {from.serial, p.serial}, {from.power, p.power}, {from.id, p.id},
	} {
		if err := d.to.SetState(statetest.RoundTrip(t, d.from.State())); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *platform) entry(pin byte, v uint32) {
	p.apic.Write(0, []byte{0x10 + 2*pin})
	p.apic.Write(0x10, binary.LittleEndian.AppendUint32(nil, v))
}

func (p *platform) sent(m ...bus.MSI) string {
	want := ""
	for _, m := range m {
		want += fmt.Sprintf(" msi:%x:%x", m.Addr, m.Data)
	}
	if p.Log != want {
		return fmt.Sprintf("sent%s, want%s", p.Log, want)
	}
	p.Log = ""
	return ""
}

// Interrupts that were sent before the state was saved are not sent again, but for
// that of the generation id, which is new; and those after it are not lost.
func TestPlatformIsRestored(t *testing.T) {
	uart, ged := bus.MSI{Addr: 0xFEE0_0000, Data: 0x34}, bus.MSI{Addr: 0xFEE0_0000, Data: 0x35}
	for _, unread := range []bool{false, true} {
		a, b := newPlatform(t), newPlatform(t)
		a.entry(4, 0x34)
		a.entry(5, 0x35)
		a.serial.Write(1, []byte{1})
		a.serial.Receive([]byte("ab"))
		want := []bus.MSI{uart}
		if unread {
			a.power.PressButton()
			want = append(want, ged)
		}
		if s := a.sent(want...); s != "" {
			t.Fatal(s)
		}
		b.restore(t, a)
		if s := b.sent(ged); s != "" {
			t.Errorf("unread %v: the restore %s", unread, s)
		}
		events := []byte{0}
		b.power.Read(3, events)
		if want := map[bool]byte{false: 2, true: 3}[unread]; events[0] != want {
			t.Errorf("unread %v: events %#x, want %#x", unread, events[0], want)
		}
		for range 2 {
			b.serial.Read(0, []byte{0})
		}
		b.serial.Receive([]byte("c"))
		b.power.PressButton()
		if s := b.sent(uart, ged); s != "" {
			t.Errorf("unread %v: afterwards %s", unread, s)
		}
	}
}
