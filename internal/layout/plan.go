package layout

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Limits of a machine.
const (
	MaxMemory  = 16 << 40   // bytes: what a process can map with room to spare
	MaxCmdline = 64<<10 - 1 // bytes, without its NUL
)

// Bus is how a guest finds and reaches its virtio devices.
type Bus string

// Buses; BusAuto is BusMMIO.
const (
	BusAuto Bus = "auto"
	BusMMIO Bus = "mmio"
	BusPCI  Bus = "pci"
)

// Check is an error that lists the values, where it is none of them.
func (v Bus) Check() error { return enum.Check(v, []Bus{BusAuto, BusMMIO, BusPCI}) }

// Request is what of a machine's configuration decides where things lie.
type Request struct {
	Cmdline   string
	Boot      kernel.Boot
	Load      loader.Mode
	Platform  Platform
	Bus       Bus
	Memory    uint64 // bytes
	HugePages bool   // RAM comes from the host's pool of huge pages
	Prealloc  bool   // all RAM is present before the start
	Early     bool   // no part of a file is copied when the guest runs already
	Devices   []Device
	HVCs      int // consoles hvc0 … that a Linux finds
}

// Device is a virtio device that gets a place.
type Device struct {
	Name string
	Type virtio.Type
}

// ConfigError is a field of a configuration with a value that cannot be.
type ConfigError struct {
	Field string
	Msg   string
	Err   error // where it has a cause that is an error: a device's, say
}

// Error names the field, what was found and what can be.
func (e *ConfigError) Error() string { return e.Field + ": " + e.Msg }

// Unwrap is the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// Plan is where everything goes in a machine, decided before it exists.
type Plan struct {
	Protocol kernel.Protocol
	Why      string // why this protocol
	// Platform is Linux or generic, PlatformWhy what decided that.
	Platform    Platform
	PlatformWhy string
	// Warnings are parameters of the command line with which a Linux does not work on
	// this machine as it would on others, each with its effect. New reports them.
	Warnings []string
	Delta    int64  // added to every address of the image: other than 0 when relocated
	Entry    uint64 // guest-physical
	Initrd   memory.Range
	MemMap   []pvh.MemMapEntry
	Cmdline  string

	Bus     Bus // BusMMIO or BusPCI
	Devices []PlannedDevice

	FirstGSI int            // that of the I/O APIC's first pin
	RAM      []memory.Range // in ascending order
	Eager    uint64         // bytes of low RAM that the guest needs from its first instruction on
	Files    loader.Layout  // which part of which file comes where
	ToCopy   uint64         // bytes of them that are copied before the start
}

// EndOfRAM is the guest-physical address after the last byte of RAM.
func (p *Plan) EndOfRAM() uint64 {
	last := p.RAM[len(p.RAM)-1]
	return uint64(last.Addr) + last.Size
}

// New lays a machine out.
func New(r *Request, im *kernel.Image, initrds []loader.File) (*Plan, error) {
	p := &Plan{Cmdline: r.Cmdline, Bus: r.Bus}
	if p.Bus != BusPCI {
		p.Bus = BusMMIO
	}
	var err error
	if p.Protocol, p.Why, err = im.Choose(r.Boot); err != nil {
		return nil, err
	}
	p.choosePlatform(r.Platform, im)
	size := (r.Memory + memory.PageSize - 1) &^ (memory.PageSize - 1)
	for _, r := range pvh.RAMRanges(size) {
		p.RAM = append(p.RAM, memory.Range{Addr: memory.Addr(r.Addr), Size: r.Size})
	}
	if p.Delta, err = im.Place(kernelRAM(size), kernelRAM(MaxMemory)); err != nil {
		return nil, fmt.Errorf("%w (the machine has %d MiB of memory)", err, size>>20)
	}
	p.Entry = im.Entry
	if p.Protocol == kernel.PVH {
		p.Entry = *im.PVH
	}
	p.Entry += uint64(p.Delta)
	bottom, top := im.Span()
	bottom, top = bottom+uint64(p.Delta), top+uint64(p.Delta)
	p.Eager = top
	if err := p.placeInitrd(initrds, bottom, top, im.InitrdLimit()); err != nil {
		return nil, err
	}
	mode := r.Load
	if r.HugePages {
		mode = loader.Copy // nothing can be mapped over pages of the pool
	}
	p.Files.Late = !r.Prealloc && !r.Early // the first has promised that all memory is there at the start
	p.Files.Kernel(im, p.Delta, mode)
	p.Files.Initrd(initrds, p.Initrd.Addr, mode)
	p.ToCopy = p.Files.ToCopy()
	if err := p.placeDevices(r); err != nil {
		return nil, err
	}
	if err := p.checkCmdline(len(r.Cmdline), im); err != nil {
		return nil, err
	}
	p.findWarnings(r.HVCs)
	return p, p.mapMemory()
}

// kernelRAM is where a kernel may lie in a machine with so much memory: what is
// laid below is taken.
func kernelRAM(size uint64) (free []memory.Range) {
	for _, r := range pvh.RAMRanges(size) {
		if r.Addr < HighAddr {
			r.Addr, r.Size = HighAddr, r.Size-HighAddr
		}
		free = append(free, memory.Range{Addr: memory.Addr(r.Addr), Size: r.Size})
	}
	return free
}

// placeInitrd puts the initrds at the top of low memory, where the guest's
// allocations reach last. A kernel that was moved lies there itself: then they
// go below it. limit is the kernel's own for the initrd's end; 0: it has none.
func (p *Plan) placeInitrd(initrds []loader.File, kernelBottom, kernelTop, limit uint64) error {
	n := loader.InitrdSize(initrds)
	if n == 0 {
		return nil
	}
	grain := uint64(memory.PageSize)
	if n >= loader.InitrdGrain {
		grain = loader.InitrdGrain
	}
	room := uint64(p.RAM[0].Addr) + p.RAM[0].Size
	if limit != 0 {
		room = min(room, limit)
	}
	for _, r := range [...]struct{ from, to uint64 }{{kernelTop, room}, {HighAddr, min(kernelBottom, room)}} {
		if n > r.to {
			continue
		}
		if addr := (r.to - n) &^ (grain - 1); addr >= r.from {
			p.Initrd = memory.Range{Addr: memory.Addr(addr), Size: n}
			return nil
		}
	}
	return fmt.Errorf("initrd: its %d MiB do not fit between the kernel, which ends at %d MiB, and the end of low memory at %d MiB, nor below the kernel: give the machine more memory",
		n>>20, kernelTop>>20, room>>20)
}

func (p *Plan) mapMemory() (err error) {
	var b pvh.MapBuilder
	for _, r := range p.RAM {
		b.Add(uint64(r.Addr), r.Size, pvh.RAM)
	}
	b.Add(ISAHoleAddr, HighAddr-ISAHoleAddr, pvh.Reserved) // with the ACPI and MP tables
	if p.Bus == BusPCI {
		b.Add(ECAMAddr, ECAMSize, pvh.Reserved)
	}
	p.MemMap, err = b.Build()
	return err
}
