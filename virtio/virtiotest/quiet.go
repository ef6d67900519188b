package virtiotest

import (
	"context"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Quiet is an Echo that serves no queue, so that nothing happens but by the caller's
// doing. It is there to test the registers of a transport.
type Quiet struct {
	Echo
	// Session is not nil while the device is started.
	Session *virtio.Session
}

// Start keeps the session.
func (q *Quiet) Start(s *virtio.Session) error {
	q.Session = s
	return nil
}

// Stop forgets it.
func (q *Quiet) Stop() { q.Session = nil }

// QuietState is that of a Quiet with its instance.
type QuietState struct {
	Instance virtio.State // without Device
	Device   EchoState
}

// NewInstance makes an instance of the device over 1 MiB of memory. It is closed when
// the test ends.
func (q *Quiet) NewInstance(t testing.TB) *virtio.Instance {
	t.Helper()
	mem, err := memory.New([]memory.Range{{Size: 1 << 20}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := virtio.New(q, virtio.Options{Memory: mem, Packed: true})
	t.Cleanup(func() {
		in.Close()
		mem.Close()
	})
	return in
}

// Save pauses the instance and returns its state.
func (q *Quiet) Save(in *virtio.Instance) (s QuietState) {
	if err := in.Pause(context.Background()); err != nil {
		panic(err)
	}
	var err error
	if s.Instance, err = in.Save(); err != nil {
		panic(err)
	}
	s.Device, s.Instance.Device = *s.Instance.Device.(*EchoState), nil
	return s
}

// Restore is the reverse; the instance is paused then.
func (q *Quiet) Restore(in *virtio.Instance, s QuietState) error {
	s.Instance.Device = &s.Device
	return in.Restore(s.Instance)
}
