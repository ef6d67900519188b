package mayfly

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
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

// TestOutputLostByAKill: what a machine that is killed had no time to write is
// counted, also where its guest has come to an end by itself before.
func TestOutputLostByAKill(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const size = 50_000
	held, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096) // nobody reads it
	if err != nil {
		t.Fatal(err)
	}
	h := &script{exits: [][]hypervisor.Exit{{out(portSerial, make([]byte, size)...), out(portPower, 0x34)}}}
	vm := onScript(t, Config{Console: Console{Out: w}}, h)
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for ended := false; !ended; time.Sleep(time.Millisecond) {
		vm.mu.Lock()
		ended = vm.final != nil
		vm.mu.Unlock()
	}
	if err := vm.Kill(); err != nil {
		t.Fatal(err)
	}
	o, err := vm.Wait(t.Context())
	if err != nil || o.Reason != PowerOff || o.Lost < uint64(size-held) || o.Lost > size || o.LostCause == nil {
		t.Errorf("%+v, %v, want PowerOff with %d to %d bytes lost", o, err, size-held, size)
	}
	vm.Close()
	r.Close()
	<-vm.Released()
}
