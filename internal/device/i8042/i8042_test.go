package i8042_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/device/i8042"
)

func TestOnlyPulseResets(t *testing.T) {
	for cmd := range 256 {
		n := 0
		i8042.New(func() { n++ }).Write(0, []byte{byte(cmd)})
		if want := cmd == 0xFE; (n == 1) != want {
			t.Errorf("command %#x: %d resets", cmd, n)
		}
	}
	d := i8042.New(nil)
	d.Write(0, []byte{0xFE})
	d.Write(0, nil)
}

// TestLinuxProbe follows i8042_flush: 17 reads that all show output mean that
// there is no controller.
func TestLinuxProbe(t *testing.T) {
	d := i8042.New(nil)
	p := []byte{0}
	for i := range 17 {
		if d.Read(0, p); p[0] != 0xFF {
			t.Fatalf("status %#x at read %d", p[0], i)
		}
	}
}

// TestLinuxReboot follows kb_wait, which waits for bit 1 to clear.
func TestLinuxReboot(t *testing.T) {
	d := i8042.New(nil)
	p := []byte{0xFF}
	for i := 0; p[0]&2 != 0; i++ {
		if d.Read(0, p); i > 100 {
			t.Fatal("never ready")
		}
	}
	d.Write(0, []byte{0})
	if d.Read(0, p); p[0] != 0xFF {
		t.Fatalf("status %#x after a command", p[0])
	}
}
