package mayfly

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/device/serial"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// TestLostOutputOfConsolePorts: what a port's file does not take is in the outcome.
func TestLostOutputOfConsolePorts(t *testing.T) {
	c, err := vconsole.New(vconsole.Config{Ports: []vconsole.Port{{Console: true, File: "/dev/full"}}})
	if err != nil {
		t.Fatal(err)
	}
	d := virtiotest.New(t, c, virtiotest.Options{})
	d.Queue(1).Do([][]byte{make([]byte, 100)}, nil)
	d.Instance().Close()
	vm := &VM{port: &port{serial: serial.New(serial.Config{})}, devices: []Device{{Name: "console", Device: c}}}
	if lost, cause := vm.closeOutput(false); lost != 100 || !errors.Is(cause, unix.ENOSPC) {
		t.Errorf("%d bytes lost, cause %v", lost, cause)
	}
}
