package vmgenid_test

import (
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/memory"
)

func TestID(t *testing.T) {
	mem, err := memory.New([]memory.Range{{Size: 1 << 20}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	notified := 0
	d, err := vmgenid.New(vmgenid.Config{Memory: mem, Addr: 0xFFFF0, Notify: func() { notified++ }})
	if err != nil {
		t.Fatal(err)
	}
	var seen [16]byte
	read := func() [16]byte {
		if _, err := mem.ReadAt(seen[:], 0xFFFF0); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	first := read()
	if first != d.ID() || first == [16]byte{} || notified != 0 {
		t.Fatalf("memory has % x, the device % x, notified %d times", first, d.ID(), notified)
	}
	if err := d.Renew(); err != nil {
		t.Fatal(err)
	}
	if now := read(); now == first || now != d.ID() || notified != 1 {
		t.Fatalf("memory has % x, the device % x, notified %d times", now, d.ID(), notified)
	}
	if id := d.ID(); id[7]>>4 != 4 || id[8]>>6 != 2 {
		t.Errorf("% x is no random GUID", id)
	}
	again := func() [16]byte {
		d, err := vmgenid.New(vmgenid.Config{Memory: mem, Addr: 0xFFFF0, Repeatable: true})
		if err != nil {
			t.Fatal(err)
		}
		if now := read(); now != d.ID() || now[7]>>4 != 4 {
			t.Errorf("memory has % x, the device % x", now, d.ID())
		}
		return d.ID()
	}
	if a, b := again(), again(); a != b {
		t.Errorf("two machines of which each run is to be the same have the ids % x and % x", a, b)
	}
	if _, err := vmgenid.New(vmgenid.Config{Memory: mem, Addr: 0xFFFF8}); !errors.Is(err, memory.ErrOutside) {
		t.Errorf("across the end: %v", err)
	}
	if _, err := vmgenid.New(vmgenid.Config{Memory: mem, Addr: 4}); err == nil {
		t.Error("took an odd address")
	}
}
