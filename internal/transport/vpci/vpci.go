// Package vpci is virtio over PCI, the modern kind (section 4.1 of virtio 1.3): a
// function with one BAR, its registers described by capabilities, and MSI-X with
// one interrupt for the configuration and one for each queue.
//
// There is no INTx: Linux and FreeBSD use MSI-X wherever it is offered, and without a
// pin no interrupt routing has to be described. A driver that uses neither may poll
// the ISR status.
package vpci

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/virtio"
)

// The BAR, in bytes.
const (
	barIndex     = 0
	barSize      = 0x4000
	commonAt     = 0x0000
	commonSize   = 0x40
	isrAt        = 0x0400
	isrSize      = 4
	deviceAt     = 0x0800
	deviceSize   = 0x0800
	tableAt      = 0x1000 // MSI-X
	pbaAt        = 0x2000
	notifyAt     = 0x3000
	notifyFactor = 4 // a queue's register is at notifyAt + 4 × its number
)

// MaxQueues is how many queues a device may have: the BAR has no room for more.
const MaxQueues = 255

// NoVector is the vector of what has no interrupt (VIRTIO_MSI_NO_VECTOR).
const NoVector = 0xFFFF

const noKick = -1

// Transport is a device on a PCI bus: a pci.Function and the virtio.Transport of
// its instance.
type Transport struct {
	fabric bus.Fabric
	in     *virtio.Instance
	space  *pci.Space
	msix   *pci.MSIX

	config interrupt
	queues []interrupt
	isr    atomic.Uint32
	silent silent

	mu sync.Mutex // of the registers that select and of the vectors
	regs

	kickMu sync.Mutex // of what follows; nothing else is locked under it
	kicks  []int      // eventfds by queue; noKick: none
	base   uint64     // of the BAR; 0: it is not mapped
}

// New makes the transport of in, a new instance, and attaches it. pci.Host.Add puts it
// on a bus.
func New(in *virtio.Instance, f bus.Fabric) (*Transport, error) {
	n := in.NumQueues()
	switch {
	case f == nil:
		return nil, errors.New("virtio/vpci: no fabric")
	case n > MaxQueues:
		return nil, fmt.Errorf("virtio/vpci: a device with %d queues; at most %d", n, MaxQueues)
	}
	t := &Transport{fabric: f, in: in, queues: make([]interrupt, n), kicks: slices.Repeat([]int{noKick}, n)}
	var err error
	if t.msix, err = pci.NewMSIX(f, n+1); err != nil {
		return nil, err
	}
	t.config.init(t, isrConfig)
	for i := range t.queues {
		t.queues[i].init(t, isrQueue)
	}
	if err := t.describe(); err != nil {
		return nil, err
	}
	in.Attach(t)
	return t, nil
}

// Instance is the device's.
func (t *Transport) Instance() *virtio.Instance { return t.in }

// Space is the function's configuration space.
func (t *Transport) Space() *pci.Space { return t.space }

// Close closes the interrupts' eventfds. The instance is closed before.
func (t *Transport) Close() error { return errors.Join(t.msix.Close(), t.silent.close()) }

// Interrupt is that of queue i, as the driver assigns it.
func (t *Transport) Interrupt(i int) virtio.Interrupt { return &t.queues[i] }

// ConfigChanged interrupts the driver.
func (t *Transport) ConfigChanged() { t.config.Signal() }

// Refresh has nothing to do: no register's value is stored.
func (t *Transport) Refresh() {}
