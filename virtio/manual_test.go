package virtio_test

import (
	"errors"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// manual is a device whose queues the test serves itself.
type manual struct {
	sizes    []uint16
	session  *virtio.Session // of the last Start that had no error
	next     *virtio.Session // of the last Start
	starts   int
	stops    int
	startErr error
	onStart  func()
	onStop   func()
}

func (m *manual) Type() virtio.Type         { return virtio.TypeBlock }
func (m *manual) Features() virtio.Feature  { return 1<<5 | 1<<9 }
func (m *manual) ReadConfig(uint64, []byte) {}
func (m *manual) WriteConfig(uint64, []byte) {
}
func (m *manual) QueueSizes() []uint16 {
	if m.sizes == nil {
		return []uint16{8}
	}
	return m.sizes
}
func (m *manual) Start(s *virtio.Session) error {
	m.starts++
	m.next = s
	if m.onStart != nil {
		m.onStart()
	}
	if m.startErr != nil {
		return m.startErr
	}
	m.session = s
	return nil
}
func (m *manual) Stop() {
	m.stops++
	if m.onStop != nil {
		m.onStop()
	}
}
func (m *manual) State() any { return nil }
func (m *manual) SetState(s any) error {
	if s != nil {
		return errors.New("a state that it never gave")
	}
	return nil
}
func (m *manual) Close() error { return nil }

// serve gives a driver and the device's side of its queue 0.
func serve(t testing.TB, o virtiotest.Options, sizes ...uint16) (*virtiotest.Driver, *virtio.Queue) {
	t.Helper()
	m := &manual{sizes: sizes}
	d := virtiotest.New(t, m, o)
	return d, m.session.Queue(0)
}
