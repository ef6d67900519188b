package vhost

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/virtio"
)

// faults passes on that the kernel found a ring that it can't go on with: it
// signals an eventfd and leaves the queue alone from then on.
type faults struct {
	event *eventfd.FD
	done  chan struct{}
}

func (f *faults) open(d *Device, s *virtio.Session) error {
	f.close()
	e, err := eventfd.New()
	if err != nil {
		return err
	}
	f.event, f.done = e, make(chan struct{})
	done := f.done
	go func() {
		defer close(done)
		if e.Wait() == nil {
			s.Fail(fmt.Errorf("%s: the kernel gave up on a ring of the driver", d.path))
		}
	}()
	return nil
}

func (f *faults) fd() int32 {
	if f.event == nil {
		return -1
	}
	return int32(f.event.FD())
}

func (f *faults) close() {
	if f.event == nil {
		return
	}
	f.event.Close()
	<-f.done
	f.event = nil
}

// EndSession is the last step of a Stop: nothing is told to the session any more.
func (d *Device) EndSession() { d.faults.close() }
