package soft

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft/native"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/memory"
)

// ErrNoExecution is wrapped by the error of Open on a host that allows no executable memory.
var ErrNoExecution = native.ErrNoExecution

// ExecutionAdvice says what to do where Open fails with ErrNoExecution.
const ExecutionAdvice = "let the process have executable memory (SELinux: execmem; systemd: MemoryDenyWriteExecute=no)"

// Open returns the software processor as a host. It has all the memory for code that its machine
// needs: a confined process gets no more.
func Open() (hypervisor.Host, error) {
	code, err := native.NewCode(maxProcessors * codeBytes)
	if err != nil {
		return nil, err
	}
	return &host{code}, nil
}

// maxProcessors is how many a machine may have.
const maxProcessors = 16

type host struct{ code *native.Code }

func (*host) MaxProcessors() int                 { return maxProcessors }
func (*host) CPUID() ([]hypervisor.CPUID, error) { return features(), nil }
func (*host) CanPrefault() bool                  { return false }
func (*host) Describe() string                   { return "the software processor" }
func (h *host) Close() error                     { return h.code.Close() }

func (h *host) NewMachine(m *memory.Map, o hypervisor.Options) (hypervisor.Machine, error) {
	mc := &machine{code: h.code, ram: ram{regions: m.Regions()}, start: time.Now(), processors: max(o.Processors, 1), counted: o.Counted}
	mc.shared = newCodeMap(mc.ram.end(), &mc.world)
	// Each vCPU is a goroutine that computes: with fewer processors of Go's than vCPUs one that waits for another, as guests do in
	// loops, would keep that from running for the 10 ms of Go's time slice. One more is for the devices.
	if mc.processors > 1 {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), mc.processors+1))
	}
	return mc, nil
}

// machine is a set of processors over RAM.
type machine struct {
	code       *native.Code
	ram        ram
	processors int       // that there will be
	counted    bool      // time is that of instructions
	start      time.Time // of all their clocks
	shared     *codeMap
	world      world

	mu    sync.Mutex
	level []hypervisor.LevelRoute
}

// ram is the guest's memory, and pages that devices show.
type ram struct {
	regions []memory.Region
	shown   map[uint64]*[pageSize]byte
}

func (r *ram) Page(addr uint64) (*[pageSize]byte, bool) {
	for i := range r.regions {
		g := &r.regions[i]
		if off := addr - uint64(g.Addr); addr >= uint64(g.Addr) && off < g.Size {
			return (*[pageSize]byte)(g.Host()[off : off+pageSize]), true
		}
	}
	return r.shown[addr], false
}

// end is the address after all memory.
func (r *ram) end() (addr uint64) {
	for i := range r.regions {
		addr = max(addr, uint64(r.regions[i].Addr)+r.regions[i].Size)
	}
	return addr
}

func (m *machine) NewProcessor(id int) (hypervisor.Processor, error) {
	if id != len(m.world.cpus) || id >= m.processors {
		return nil, fmt.Errorf("vCPU %d of a machine of %d, of which %d have been made", id, m.processors, len(m.world.cpus))
	}
	store, err := newCodeStore()
	if err != nil {
		return nil, fmt.Errorf("memory for decoded instructions: %w", err)
	}
	c := newCPU(&m.ram, m.shared, store)
	c.units = newUnits(m.code.Part(id, codeBytes))
	c.waits = true
	c.clock.start, c.clock.counted, c.clock.limit = m.start, m.counted, never
	if m.counted {
		c.clock.start, c.entropy = countedStart, newEntropy(true)
	}
	c.msr.pat = 0x0007_0406_0007_0406
	c.apic = newAPIC(c, uint32(id))
	c.apic.wantsEnd = m.wantsEnd
	c.world = &m.world
	m.world.cpus = append(m.world.cpus, c)
	return c, nil
}

// wantsEnd reports whether the machine is to be notified of the end of a vector.
func (m *machine) wantsEnd(vector uint8) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.level {
		if uint8(l.MSI.Data) == vector {
			return true
		}
	}
	return false
}

func (m *machine) RouteLevel(routes []hypervisor.LevelRoute) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.level = append(m.level[:0], routes...)
	return nil
}

func (m *machine) Show(addr uint64, page []byte) bool {
	if m.ram.shown == nil {
		m.ram.shown = map[uint64]*[pageSize]byte{}
	}
	for off := 0; off+pageSize <= len(page); off += pageSize {
		m.ram.shown[addr+uint64(off)] = (*[pageSize]byte)(page[off:])
	}
	return true
}

// Partial and AttachRest implement hypervisor.Machine: all is reachable from the start.
func (m *machine) Partial() bool     { return false }
func (m *machine) AttachRest() error { return nil }

func (m *machine) Close() error { return nil }

// SendMSI implements bus.MSISink. Source: Intel SDM volume 3, chapter 10.11.
func (m *machine) SendMSI(msi bus.MSI) error {
	m.world.send(message{
		destination: uint32(msi.Addr >> 12 & 0xFF), logical: msi.Addr>>2&1 != 0, mode: uint8(msi.Data >> 8 & 7), vector: uint8(msi.Data), level: msi.Data>>15&1 != 0,
	}, nil)
	return nil
}

func (m *machine) Bind(bus.IOEvent) error   { return bus.ErrNoIOEvent }
func (m *machine) Unbind(bus.IOEvent) error { return nil }

// delivery is a bus.Message.
type delivery struct {
	m       *machine
	event   *eventfd.FD
	listens sync.Once

	mu                 sync.Mutex
	msi                bus.MSI
	open, held, closed bool
}

func (m *machine) NewMessage() (bus.Message, error) {
	e, err := eventfd.New()
	if err != nil {
		return nil, fmt.Errorf("an interrupt: %w", err)
	}
	return &delivery{m: m, event: e}, nil
}

// Signal implements bus.Message.
func (d *delivery) Signal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
	case !d.open:
		d.held = true
	default:
		_ = d.m.SendMSI(d.msi) // does not fail
	}
}

// FD implements bus.Message: a goroutine waits for what a back end in the kernel signals.
func (d *delivery) FD() int {
	d.listens.Do(func() {
		go func() {
			for d.event.Wait() == nil {
				d.Signal()
			}
		}()
	})
	return d.event.FD()
}

// Route implements bus.Message.
func (d *delivery) Route(msi bus.MSI) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	d.msi, d.open = msi, true
	if d.held {
		d.held = false
		return d.m.SendMSI(msi)
	}
	return nil
}

// Mask implements bus.Message.
func (d *delivery) Mask() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = false
	return nil
}

// Pending implements bus.Message.
func (d *delivery) Pending() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held
}

// Close implements bus.Message.
func (d *delivery) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed, d.open = true, false
	return d.event.Close()
}
