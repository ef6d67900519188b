package machine

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/reports"
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
	s := Spec{Reports: reports.New(func(_ string, err error) { got = append(got, err) }), Devices: []Device{{Name: "disk d", Device: badClose{}}}}
	s.Close()
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
	p := &serialPort{device: serial.New(serial.Config{})}
	if lost, cause := closeOutput(p, []Device{{Name: "console", Device: c}}, false); lost != 100 || !errors.Is(cause, unix.ENOSPC) {
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
	h := &script{exits: [][]hypervisor.Exit{{out(layout.PortSerial, make([]byte, size)...), out(layout.PortPower, 0x34)}}}
	m := onScript(t, setup{spec: Spec{Console: Console{Out: w}}}, h)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	machinetest.Until(t, "end of the guest", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.final != nil
	})
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	o, err := m.Wait(t.Context())
	if err != nil || o.Reason != PowerOff || o.Lost < uint64(size-held) || o.Lost > size || o.LostCause == nil {
		t.Errorf("%+v, %v, want PowerOff with %d to %d bytes lost", o, err, size-held, size)
	}
	m.Close()
	r.Close()
	<-m.Released()
}
