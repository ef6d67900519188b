package mayfly

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/device/serial"
	"github.com/mayfly-vm/mayfly/virtio"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// badClose is a device whose Close fails, as that of a disk on a network file system
// may.
type badClose struct{ virtio.Device }

func (badClose) Close() error { return unix.EDQUOT }

func TestErrorsOfCloseAreReported(t *testing.T) {
	var got []error
	vm := &VM{cfg: Config{reports: &reports{to: func(err error) { got = append(got, err) }}}, devices: []Device{{Name: "disk d", Device: badClose{}}}}
	vm.closeDevices()
	if len(got) != 1 || !errors.Is(got[0], unix.EDQUOT) || got[0].Error() != "disk d: closed with an error: disk quota exceeded" {
		t.Errorf("reports %v", got)
	}
}

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
