package vpci

import (
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
)

// Bits of the ISR status (section 4.1.4.5).
const (
	isrQueue  = 1
	isrConfig = 2
)

// interrupt is what the driver assigns a vector to. It may do so at any time; a back
// end that was given FD before keeps the earlier vector's.
type interrupt struct {
	msix   *pci.MSIX
	isr    *atomic.Uint32 // the transport's ISR status
	silent *silent        // likewise
	why    uint32         // its bit in the ISR status
	vector uint16         // under Transport.mu
	to     atomic.Pointer[target]
}

type target struct{ bus.Message }

func (i *interrupt) init(t *Transport, why uint32) {
	i.msix, i.isr, i.silent, i.why, i.vector = t.msix, &t.isr, &t.silent, why, NoVector
}

// Signal sends the vector's message; without a vector it sets its bit of the ISR status.
func (i *interrupt) Signal() {
	if to := i.to.Load(); to != nil {
		to.Signal()
		return
	}
	i.isr.Or(i.why)
}

// FD is the message's; without a vector an eventfd that nothing reads.
func (i *interrupt) FD() int {
	if to := i.to.Load(); to != nil {
		return to.FD()
	}
	return i.silent.fd()
}

// assign takes vector v. One that can't be had reads back as NoVector (section
// 4.1.4.3.1), and the error says why.
func (i *interrupt) assign(v uint16) error {
	i.vector = NoVector
	i.to.Store(nil)
	if v == NoVector {
		return nil
	}
	m, err := i.msix.Use(int(v))
	if err != nil {
		return err
	}
	i.to.Store(&target{m})
	i.vector = v
	return nil
}

// silent is an eventfd that nothing reads, for back ends that must have one.
type silent struct {
	mu sync.Mutex
	e  *eventfd.FD
}

func (s *silent) fd() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.e == nil {
		e, err := eventfd.New()
		if err != nil {
			return -1
		}
		s.e = e
	}
	return s.e.FD()
}

func (s *silent) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.e == nil {
		return nil
	}
	err := s.e.Close()
	s.e = nil
	return err
}
