package mayfly

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/acpi"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// Guest-physical addresses of what the monitor lays in low memory. 0x1000 to
// 0x5FFF stay free: OSv writes there before it reads anything.
const (
	stackTop       = 0x6000  // of the first processor's stack at entry, downwards to 0x1000
	startInfoAddr  = 0x6000  // one page, writable: Linux uses its first dword as a stack
	memMapAddr     = 0x7000  // one page
	zeroPageAddr   = 0x8000  // Linux 64-bit protocol only
	pageTablesAddr = 0x9000  // likewise
	cmdlineAddr    = 0x20000 // 64 KiB
	isaHoleAddr    = 0xA0000
	acpiAddr       = 0xE0000
	mpTableAddr    = 0xF0000  // guests without ACPI search here
	biosTablesEnd  = 0xFC000  // kernels take what follows for page tables of theirs
	highAddr       = 0x100000 // kernels load from here on
	ioapicAddr     = 0xFEC00000
	ioapicSize     = 0x1000
)

// Global system interrupts of the devices. For a Linux the I/O APIC has pins for
// these and no others: it reads, masks and rewrites each pin at its start.
const (
	gsiPower  = 3
	gsiSerial = 4 // as on an AT
	gsiVirtio = 5 // the first of the virtio-mmio devices
)

// Ports of the devices.
const (
	portSerial = 0x3F8
	portI8042  = 0x64
	portPower  = 0x600
)

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

	Devices []PlannedDevice

	bus      Bus
	firstGSI int // that of the I/O APIC's first pin
	ram      []memory.Range
	eager    uint64 // how much low RAM the guest needs from its first instruction on
	layout   loader.Layout
	toCopy   uint64 // bytes
}

func makePlan(c *Config, im *kernel.Image, initrds []loader.File) (*Plan, error) {
	p := &Plan{Cmdline: c.Cmdline, bus: c.Bus}
	var err error
	if p.Protocol, p.Why, err = im.Choose(c.Boot); err != nil {
		return nil, err
	}
	p.choosePlatform(c.Platform, im)
	size := (c.Memory + memory.PageSize - 1) &^ (memory.PageSize - 1)
	for _, r := range pvh.RAMRanges(size) {
		p.ram = append(p.ram, memory.Range{Addr: memory.Addr(r.Addr), Size: r.Size})
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
	p.eager = top
	if err := p.placeInitrd(initrds, bottom, top, im.InitrdLimit()); err != nil {
		return nil, err
	}
	mode := c.Load
	if c.HugePages {
		mode = loader.Copy // nothing can be mapped over pages of the pool
	}
	p.layout.Late = !c.Prealloc // which has promised that all memory is there at the start
	p.layout.Kernel(im, p.Delta, mode)
	p.layout.Initrd(initrds, p.Initrd.Addr, mode)
	p.toCopy = p.layout.ToCopy()
	if err := p.placeDevices(c); err != nil {
		return nil, err
	}
	if err := p.checkCmdline(len(c.Cmdline), im); err != nil {
		return nil, err
	}
	p.findWarnings(c)
	return p, p.mapMemory()
}

// fitHost has the kernel copied where the host would map its pages one by one, an
// exit for each. A host is asked only about kernels of which something is mapped.
func (p *Plan) fitHost(h hypervisor.Host) {
	if p.layout.MapsKernel() && !h.CanPrefault() {
		p.layout.CopyKernel()
		p.toCopy = p.layout.ToCopy()
	}
}

// kernelRAM is where a kernel may lie in a machine with so much memory: what is
// laid below is taken.
func kernelRAM(size uint64) (free []memory.Range) {
	for _, r := range pvh.RAMRanges(size) {
		if r.Addr < highAddr {
			r.Addr, r.Size = highAddr, r.Size-highAddr
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
	room := uint64(p.ram[0].Addr) + p.ram[0].Size
	if limit != 0 {
		room = min(room, limit)
	}
	for _, r := range [...]struct{ from, to uint64 }{{kernelTop, room}, {highAddr, min(kernelBottom, room)}} {
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
	for _, r := range p.ram {
		b.Add(uint64(r.Addr), r.Size, pvh.RAM)
	}
	b.Add(isaHoleAddr, highAddr-isaHoleAddr, pvh.Reserved) // with the ACPI and MP tables
	if p.bus == BusPCI {
		b.Add(ecamAddr, pci.ECAMSize, pvh.Reserved)
	}
	p.MemMap, err = b.Build()
	return err
}

func (p *Plan) acpiConfig(cpus int) acpi.Config {
	c := acpi.Config{
		IOAPIC: acpi.IOAPIC{Addr: ioapicAddr, First: uint32(p.firstGSI), Pins: p.pins()},
		COM1:   acpi.Serial{Port: portSerial, GSI: gsiSerial},
		Power:  acpi.Power{Port: portPower, GSI: gsiPower},
	}
	if p.bus == BusPCI {
		h := p.pciConfig(nil)
		c.PCI = &acpi.PCI{ECAM: ecamAddr, Ports: true, Low: h.Low, High: h.High}
	}
	for _, d := range p.Devices {
		if d.Addr != 0 {
			c.Virtio = append(c.Virtio, acpi.VirtioMMIO{Addr: uint32(d.Addr), Size: mmio.Size, GSI: uint32(d.GSI)})
		}
	}
	for i := range cpus {
		c.CPUs = append(c.CPUs, acpi.CPU{APICID: uint32(i)})
	}
	return c
}
