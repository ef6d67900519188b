package mayfly

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/kernelparams"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/internal/transport/mmio"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// Device is a virtio device and how the machine names it. New takes it over: the
// machine closes it, also when New fails.
type Device struct {
	Name   string // for reports
	Device virtio.Device
	Packed bool // offer packed rings
}

// PlannedDevice is where a guest finds a virtio device.
type PlannedDevice struct {
	Name string
	Type virtio.Type
	Addr uint64 // BusMMIO: guest-physical address of the registers
	GSI  int    // BusMMIO: its interrupt
	Slot int    // BusPCI: device number on bus 0
}

// Places of virtio-mmio devices, a page each: a page's accesses are sorted out
// by the processors' own second-level tables.
const (
	mmioAddr   = 0xFEB0_0000
	mmioStride = mmio.Size
	mmioMost   = 64
)

// Places of PCI: what lies in the hole below the windows' end is the bus's.
const (
	pciLow     = 0xC000_0000
	pciLowSize = 0x2000_0000
	ecamAddr   = 0xE000_0000
	// The high window begins at a multiple of its size, above all RAM. The smallest
	// host addresses 64 GiB.
	pciHighSize = 16 << 30
)

// pciConfig is the bus of a machine. Where RAM leaves no room for a high window in
// what every host can address, there is none.
func (p *Plan) pciConfig(mmio *bus.Bus) pci.Config {
	c := pci.Config{MMIO: mmio, ECAM: ecamAddr, Low: memory.Range{Addr: pciLow, Size: pciLowSize}}
	last := p.ram[len(p.ram)-1]
	base := (uint64(last.Addr) + last.Size + pciHighSize - 1) &^ (pciHighSize - 1)
	if base+pciHighSize <= 1<<leastWidth {
		c.High = memory.Range{Addr: memory.Addr(base), Size: pciHighSize}
	}
	return c
}

// pin is the pin of the I/O APIC for an interrupt.
func (p *Plan) pin(gsi int) int { return gsi - p.firstGSI }

// pins is how many there are: as few as possible for Linux, which reads and writes
// each at its start, and as many as kernels expect for others.
func (p *Plan) pins() int {
	last := gsiSerial
	if p.Platform == PlatformGeneric {
		last = genericPins - 1
	}
	for _, d := range p.Devices {
		last = max(last, d.GSI)
	}
	return p.pin(last) + 1
}

// placeDevices gives each device its place on the bus.
func (p *Plan) placeDevices(c *Config) error {
	specs := c.devices()
	most := mmioMost
	if c.Bus == BusPCI {
		most = pci.Slots - 1
	}
	if len(specs) > most {
		return &ConfigError{"Bus", fmt.Sprintf("%d virtio devices: at most %d have a place there", len(specs), most)}
	}
	// Kernels that don't read ACPI, or not all of it, take the pins' numbers for the
	// interrupts'.
	bare := withoutACPI(p.Cmdline)
	if !bare && p.Platform == PlatformLinux {
		p.firstGSI = gsiPower
	}
	for i, d := range specs {
		at := PlannedDevice{Name: d.name, Type: d.kind}
		if c.Bus == BusPCI {
			at.Slot = i + 1 // 0 is the host bridge
		} else {
			at.Addr, at.GSI = mmioAddr+uint64(i)*mmioStride, gsiVirtio+i
		}
		p.Devices = append(p.Devices, at)
	}
	if bare && c.Bus != BusPCI {
		p.announce()
	}
	return nil
}

// announce adds parameters that name the devices, for a guest that does not read
// ACPI.
func (p *Plan) announce() {
	params := make([]string, 0, len(p.Devices))
	for _, d := range p.Devices {
		params = append(params, fmt.Sprintf("virtio_mmio.device=%d@%#x:%d", mmio.Size, d.Addr, d.GSI))
	}
	p.Cmdline = kernelparams.Join(p.Cmdline, strings.Join(params, " "))
}

// deviceSpec is a virtio device of a configuration, before it is opened.
type deviceSpec struct {
	name   string
	kind   virtio.Type
	packed bool
	open   func() (virtio.Device, error)
}

// devices lists the configuration's virtio devices in the order of their places.
func (c *Config) devices() (list []deviceSpec) {
	for _, d := range c.Disks {
		name := "disk " + d.Path
		if d.Report == nil {
			d.Report = c.reporter(name)
		}
		list = append(list, deviceSpec{name, virtio.TypeBlock, d.Packed, opener(blk.New, d)})
	}
	for i, n := range c.Nets {
		if n.Name == "" {
			n.Name = strconv.Itoa(i)
		}
		name := "net " + n.Name
		if n.Report == nil {
			n.Report = c.reporter(name)
		}
		list = append(list, deviceSpec{name, virtio.TypeNet, n.Packed, opener(vnet.New, n)})
	}
	if v := c.Vsock; v != nil {
		v := *v
		if v.CID == 0 {
			v.CID = vsock.MinCID
		}
		list = append(list, deviceSpec{"vsock", virtio.TypeVsock, v.Packed, opener(vsock.New, v)})
	}
	if len(c.Consoles) > 0 {
		list = append(list, deviceSpec{"console", virtio.TypeConsole, false, opener(vconsole.New, vconsole.Config{Ports: c.Consoles, Report: c.reporter("console")})})
	}
	if c.RNG != nil {
		list = append(list, deviceSpec{"rng", virtio.TypeEntropy, c.RNG.Packed, opener(rng.New, *c.RNG)})
	}
	for _, d := range c.Devices {
		list = append(list, deviceSpec{d.Name, d.Device.Type(), d.Packed, func() (virtio.Device, error) { return d.Device, nil }})
	}
	return list
}

// openDevices opens what the devices need of the host: files, taps, sockets.
func (vm *VM) openDevices() error {
	for _, s := range vm.cfg.devices() {
		d, err := s.open()
		if err != nil {
			return err
		}
		vm.devices = append(vm.devices, Device{s.name, d, s.packed})
	}
	return nil
}

// devicesReady waits for what devices have begun to open and not yet opened: a
// helper process comes up while the machine is being made.
func (vm *VM) devicesReady() error {
	for _, d := range vm.devices {
		if r, ok := d.Device.(interface{ Ready() error }); ok {
			if err := r.Ready(); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeDevices closes those that were opened, and those of the embedding program
// that a New which failed did not come to.
func (vm *VM) closeDevices() {
	opened := map[virtio.Device]bool{}
	for _, d := range vm.devices {
		opened[d.Device] = true
		// Some file systems tell only now that something was not written.
		if err := d.Device.Close(); err != nil && vm.cfg.reports != nil {
			vm.cfg.reports.from(d.Name, fmt.Errorf("closed with an error: %w", err), time.Now())
		}
	}
	vm.devices = nil
	for _, d := range vm.cfg.Devices {
		if !opened[d.Device] {
			_ = d.Device.Close()
		}
	}
	vm.cfg.Devices = nil
}

// opener puts off a device package's New.
func opener[C any, D virtio.Device](open func(C) (D, error), c C) func() (virtio.Device, error) {
	return func() (virtio.Device, error) {
		d, err := open(c)
		if err != nil {
			return nil, err // not a D that is nil
		}
		return d, nil
	}
}

// ResizeConsole tells the guest the size of the window of Config.Consoles[port].
func (vm *VM) ResizeConsole(port int, cols, rows uint16) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.state == stateClosed {
		return ErrClosed
	}
	for _, d := range vm.devices {
		if c, ok := d.Device.(*vconsole.Device); ok && port >= 0 && port < len(vm.cfg.Consoles) {
			c.Resize(port, cols, rows)
			return nil
		}
	}
	return &ConfigError{"Consoles", fmt.Sprintf("there is no port %d", port)}
}
