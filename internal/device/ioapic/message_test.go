package ioapic_test

import (
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
)

// message remembers what a pin made of it.
type message struct {
	bus.Message
	masked bool
	msi    bus.MSI
	err    error
}

func (m *message) Route(msi bus.MSI) error { m.masked, m.msi = false, msi; return m.err }
func (m *message) Mask() error             { m.masked = true; return m.err }

func TestMessageFollowsItsPin(t *testing.T) {
	c := newChip(8)
	c.OnRoutes(func(r []ioapic.Route) {
		if r[6].Level {
			t.Error("a pin with a message is reported as level-triggered")
		}
	})
	m := &message{}
	c.Attach(6, m, func(err error) { t.Error(err) })
	if !m.masked {
		t.Fatal("the message of a pin that the guest has not set up is not masked")
	}
	c.set(0x10+2*6+1, 2<<24)
	c.entry(6, level|0x51)
	if want := (bus.MSI{Addr: 0xFEE0_2000, Data: 0x51}); m.masked || m.msi != want {
		t.Fatalf("masked %v, message %x, want %x", m.masked, m.msi, want)
	}
	c.entry(6, masked|0x51)
	if !m.masked {
		t.Fatal("the message of a masked entry is not masked")
	}
	c.entry(6, 0x51)
	c.Reset()
	if !m.masked {
		t.Fatal("a reset leaves the pin unmasked")
	}
	var got error
	m.err = errors.New("no route")
	c.Attach(6, m, func(err error) { got = err })
	if !errors.Is(got, m.err) {
		t.Fatal("a failure of the host is not reported")
	}
	c.Attach(7, &message{}, func(error) { t.Error("another pin's failure is reported") })
	got = nil
	if c.entry(6, 0x52); !errors.Is(got, m.err) {
		t.Error("the pin's own failure is not reported")
	}
}
