package pci

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/memory"
)

// Slots is the number of devices of a bus. Slot 0 is the host bridge's.
const Slots = 32

// ECAMSize is how many bytes the configuration spaces of one bus take: 4 KiB for
// each of 8 functions in 32 slots.
const ECAMSize = Slots * 8 * ecamStride

const ecamStride = 4096

// Ports is the first of the PortsSize ports of configuration mechanism #1.
const (
	Ports     = 0xCF8
	PortsSize = 8
)

// Function is a device on the bus: the first and only function of its slot.
type Function interface {
	// Space is its configuration space, always the same one.
	Space() *Space
	// Moved notifies the function that base address register i answers at addr from now
	// on or, when not mapped, nowhere. It is called with the Space locked.
	Moved(i int, addr uint64, mapped bool)
}

// Config of a Host.
type Config struct {
	// MMIO is where the blocks of base address registers are added.
	MMIO *bus.Bus
	// ECAM is the guest-physical address of configuration space, a multiple of
	// ECAMSize below 4 GiB.
	ECAM uint64
	// Low, below 4 GiB, and High are the windows of base addresses. A block that the
	// guest moves to another address does not answer.
	Low, High memory.Range
}

// Host is the host bridge with its bus.
type Host struct {
	cfg   Config
	mu    sync.Mutex // of the allocators and of Add
	low   allocator
	high  allocator
	slots [Slots]atomic.Pointer[slot]
	addr  atomic.Uint32 // what was written to port 0xCF8
}

// slot is a function with what it needs of the bus.
type slot struct {
	f         Function
	space     *Space
	mmio      *bus.Bus
	low, high memory.Range
}

// NewHost makes a bus with only the bridge in slot 0.
func NewHost(c Config) (*Host, error) {
	switch {
	case c.MMIO == nil:
		return nil, errors.New("pci: no bus for base addresses")
	case c.ECAM%ECAMSize != 0 || c.ECAM > 1<<32-ECAMSize:
		return nil, fmt.Errorf("pci: ECAM at %#x; expected a multiple of %#x below 4 GiB", c.ECAM, ECAMSize)
	case !(memory.Range{Size: 1 << 32}).Contains(c.Low.Addr, c.Low.Size):
		return nil, fmt.Errorf("pci: the low window at %#x with %#x bytes does not end at or below 4 GiB", uint64(c.Low.Addr), c.Low.Size)
	case uint64(c.High.Addr)+c.High.Size < c.High.Size:
		return nil, fmt.Errorf("pci: the high window at %#x with %#x bytes leaves the address space", uint64(c.High.Addr), c.High.Size)
	}
	h := &Host{cfg: c, low: allocator{Range: c.Low}, high: allocator{Range: c.High}}
	_, err := h.Add(0, newBridge())
	return h, err
}

// bridge is the host bridge itself. Linux requires a function of its class before it
// uses port 0xCF8. The id is that of QEMU's generic PCI Express host bridge, for which
// no guest has workarounds.
type bridge struct{ space *Space }

func newBridge() bridge {
	return bridge{NewSpace(ID{Vendor: 0x1B36, Device: 0x0008, Class: 0x06_00_00, SubVendor: 0x1AF4, SubDevice: 0x1100})}
}

func (b bridge) Space() *Space         { return b.space }
func (bridge) Moved(int, uint64, bool) {}

// Add puts f into a slot, the first free one if number is negative, assigns its base
// addresses and returns the slot. They answer once the guest enables memory space in
// the command register.
func (h *Host) Add(number int, f Function) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.slots {
		if number < 0 && h.slots[i].Load() == nil {
			number = i
		}
	}
	switch {
	case number < 0:
		return 0, fmt.Errorf("pci: all %d slots are taken", Slots)
	case number >= Slots || h.slots[number].Load() != nil:
		return 0, fmt.Errorf("pci: there is no free slot %d", number)
	}
	s := &slot{f: f, space: f.Space(), mmio: h.cfg.MMIO, low: h.cfg.Low, high: h.cfg.High}
	if err := h.assign(s.space); err != nil {
		return 0, err
	}
	s.space.changed = s.update
	h.slots[number].Store(s)
	return number, nil
}

var errNoWindow = errors.New("pci: no window")

func (h *Host) assign(s *Space) error {
	for i := range s.bars {
		b := &s.bars[i]
		if b.Size == 0 {
			continue
		}
		var at uint64
		err := errNoWindow
		if b.Wide {
			at, err = h.high.take(b.Size)
		}
		if err != nil {
			at, err = h.low.take(b.Size)
		}
		if err != nil {
			for j := range i { // give back what was taken
				h.low.give(s.address(j))
				h.high.give(s.address(j))
			}
			return err
		}
		s.assign(i, at)
	}
	return nil
}

// update maps and unmaps base addresses according to the registers. The space is
// locked. A block at an address that another one has, or outside the windows, is not
// mapped.
func (s *slot) update() {
	on := s.space.Uint16(offCommand)&cmdMemory != 0
	for i := range s.space.bars {
		b := &s.space.bars[i]
		if b.Size == 0 {
			continue
		}
		addr := s.space.address(i)
		want := on && s.mappable(addr, b.Size)
		if b.mapped && want && b.addr == addr {
			continue
		}
		s.unmap(i)
		if want {
			_ = s.mapAt(i, addr) // refused where another block is
		}
	}
}

// mappable reports whether a block of size bytes may be at addr.
func (s *slot) mappable(addr, size uint64) bool {
	at := memory.Addr(addr)
	return addr != 0 && (s.low.Contains(at, size) || s.high.Contains(at, size))
}

// mapAt lets base address register i answer at addr, and unmap ends that. The space
// is locked.
func (s *slot) mapAt(i int, addr uint64) error {
	b := &s.space.bars[i]
	if err := s.mmio.Add(b.Name, addr, b.Size, b.Handler); err != nil {
		return err
	}
	b.mapped, b.addr = true, addr
	s.f.Moved(i, addr, true)
	return nil
}

func (s *slot) unmap(i int) {
	b := &s.space.bars[i]
	if !b.mapped {
		return
	}
	b.mapped = false
	s.mmio.Remove(b.addr)
	s.f.Moved(i, 0, false)
}

// space is the configuration space of a function's number, slot<<3|function; nil
// when there is none.
func (h *Host) space(devfn uint32) *Space {
	if devfn&7 != 0 || devfn>>3 >= Slots {
		return nil
	}
	if s := h.slots[devfn>>3].Load(); s != nil {
		return s.space
	}
	return nil
}

// Config is what the Host was made with.
func (h *Host) Config() Config { return h.cfg }
