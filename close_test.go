package mayfly_test

import (
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

type closing struct {
	virtiotest.Echo
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

// New takes the program's devices over, whatever comes of it.
func TestNewThatFailsClosesDevices(t *testing.T) {
	for name, c := range map[string]mayfly.Config{
		"a wrong field": {Kernel: "vmlinux", CPUs: -1},
		"no kernel":     {Kernel: t.TempDir() + "/vmlinux"},
	} {
		d := &closing{}
		c.Devices = []mayfly.Device{{Name: "echo", Device: d}}
		if _, err := mayfly.New(c); err == nil {
			t.Fatalf("%s: accepted", name)
		}
		if d.closed != 1 {
			t.Errorf("%s: the device was closed %d times", name, d.closed)
		}
	}
}
