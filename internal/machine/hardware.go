package machine

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/boot"
	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/device/power"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/memory"
)

// hardware is what a guest runs on from one start to the next restart: vCPUs, buses and
// devices. A restart makes it anew, so nothing of the old state is left to be reset.
type hardware struct {
	spec    *Spec
	mem     *memory.Map
	machine hypervisor.Machine
	vcpus   vcpus
	entry   hypervisor.State // the first vCPU's

	ports     bus.Bus
	mmio      bus.Bus
	power     *power.Device
	ioapic    *ioapic.Device
	pci       *pci.Host
	slots     []*virtioSlot
	registers []byte       // of virtio devices, which the guest reads as memory
	watchdog  *wdat.Device // nil: none
	expired   bool         // ended by the watchdog; set before ended is closed

	signs signs
	late  lateMemory
	gate  *gate
	quiet bool // the devices are paused, by Pause

	ready   chan struct{} // closed when the vCPUs may run, or stop is set
	stop    atomic.Bool   // vCPUs leave their loops
	ended   chan struct{}
	endOnce sync.Once
	outcome ending // set before ended is closed
	running sync.WaitGroup
}

// newHardware makes the hardware of one start and loads memory. Where there is much to
// copy, files are read in another goroutine, concurrently with KVM's side; else waking
// a thread would cost more. expired: the watchdog ended the run before.
func newHardware(s *Spec, mem *memory.Map, port *serialPort, expired bool) (*hardware, error) {
	h := &hardware{spec: s, mem: mem, gate: newGate(s.CPUs), ready: make(chan struct{}), ended: make(chan struct{})}
	h.late.spec, h.late.mem = s, mem
	h.late.wanted, h.late.finished = make(chan struct{}, 1), make(chan struct{})
	h.vcpus.ended = h.ended
	h.signs.init()
	h.startFirst()
	loaded := make(chan error, 1)
	load := func() {
		begin := time.Now()
		loaded <- h.load()
		s.Timeline.Span("image and tables loaded", begin, time.Now())
	}
	if s.Plan.ToCopy > parallelCopy {
		go load()
	} else {
		load()
	}
	err := guarded("making the machine", func() error { return h.build(port, expired) })
	if lerr := <-loaded; err == nil {
		err = lerr
	}
	if err == nil {
		err = s.ready()
	}
	if err != nil {
		h.abandon(port)
		return nil, err
	}
	return h, nil
}

// abandon closes hardware that has not run.
func (h *hardware) abandon(port *serialPort) {
	h.stop.Store(true)
	close(h.ready)
	h.running.Wait()
	h.close(port)
}

// parallelCopy is how many bytes take longer to copy than a thread to wake.
const parallelCopy = 1 << 20

// load writes files and boot data to guest memory. A host page that cannot be had is an
// error.
func (h *hardware) load() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = broken("loading guest memory", r)
		}
	}()
	s := h.spec
	err = s.Plan.Files.Lay(h.mem)
	if changed := s.changedFile(false); changed != nil { // also why it failed, where it did
		return changed
	}
	if err != nil {
		return err
	}
	h.entry, err = boot.Write(s.Plan, &boot.Machine{
		CPUs: s.CPUs, Memory: s.Memory, Watchdog: s.Watchdog != NoWatchdog, SMBIOS: s.SMBIOS, SetupHeader: s.Image.SetupHeader,
	}, h.mem)
	return err
}

func (h *hardware) build(port *serialPort, expired bool) (err error) {
	s := h.spec
	h.machine, err = s.Host.NewMachine(h.mem, hypervisor.Options{Processors: s.CPUs, Eager: s.Plan.Eager, IOAPICPins: s.Plan.Pins(), PMU: s.Features.PMU, Counted: s.Counted})
	if err != nil {
		return err
	}
	h.late.machine = h.machine
	s.Timeline.Mark("machine made")
	if err := h.addDevices(port, expired); err != nil {
		return err
	}
	for _, c := range h.vcpus.list {
		if c.proc, err = h.machine.NewProcessor(c.id); err != nil {
			return fmt.Errorf("vCPU %d of %d: %w", c.id, s.CPUs, err)
		}
	}
	s.Timeline.Mark("processors made")
	return nil
}

// startFirst makes the vCPUs' records and the first one's goroutine, which has
// something to ask of the host while the machine is still being built.
func (h *hardware) startFirst() {
	for id := range h.spec.CPUs {
		h.vcpus.list = append(h.vcpus.list, &vcpu{
			id: id, spec: h.spec, mem: h.mem, ports: &h.ports, mmio: &h.mmio, late: &h.late, gate: h.gate, signs: &h.signs, stop: &h.stop,
		})
		if h.spec.Counted {
			h.vcpus.list[id].settled = h.settled
		}
	}
	h.running.Add(1)
	go h.runVCPU(h.vcpus.list[0])
}

// run lets the first vCPU go and starts the goroutines of the others. The vCPUs' side of
// a start, registers and CPUID, happens in each of them.
func (h *hardware) run() {
	h.late.pending.Store(h.spec.Plan.Files.HasLate() || h.machine.Partial())
	close(h.ready)
	h.running.Add(len(h.vcpus.list) - 1)
	for _, c := range h.vcpus.list[1:] {
		go h.runVCPU(c)
	}
}

func (h *hardware) runVCPU(c *vcpu) {
	defer h.running.Done()
	if e := c.run(h.ready, &h.entry); e != nil {
		h.end(*e)
	}
}

// end ends the run once; the first ending counts.
func (h *hardware) end(e ending) {
	h.endOnce.Do(func() { h.finish(e) })
}

func (h *hardware) endAs(r Reason, detail string) {
	h.end(ending{Outcome: Outcome{Reason: r, Detail: detail}})
}

func (h *hardware) finish(e ending) {
	h.outcome = e
	h.stop.Store(true)
	close(h.ended)
	for _, s := range h.slots {
		s.instance.Halt() // a reset that its driver waits for may hold a vCPU
	}
	h.gate.end()
	h.vcpus.kick()
}

// hold keeps the vCPUs from entering the guest from now on.
func (h *hardware) hold() {
	if !h.gate.close() {
		return
	}
	if h.watchdog != nil {
		h.watchdog.Pause()
	}
	h.vcpus.kick()
}

// release lets the vCPUs go on.
func (h *hardware) release() {
	if h.gate.open() && h.watchdog != nil {
		h.watchdog.Resume()
	}
}

// watch returns when the run has ended, and ends it where nothing else will.
func (h *hardware) watch() {
	w := watcher{vcpus: &h.vcpus, signs: &h.signs, late: &h.late, work: h.queueWork, ended: h.ended}
	if e := w.watch(); e != nil {
		h.end(*e)
	}
}

// close gives back what the hardware holds. No vCPU runs any more.
func (h *hardware) close(port *serialPort) {
	port.disconnect()
	h.closeSlots()
	if h.watchdog != nil {
		h.watchdog.Close()
	}
	h.vcpus.close()
	if h.machine != nil {
		h.machine.Close()
	}
}

// pin is the I/O APIC's line for a global system interrupt.
func (h *hardware) pin(gsi int) bus.Line { return h.ioapic.Line(h.spec.Plan.Pin(gsi)) }

// routeLevel hands the vCPUs' side the pins that are level triggered. Edges, which
// is all that these devices use, need no route.
func (h *hardware) routeLevel(routes []ioapic.Route) {
	list := make([]hypervisor.LevelRoute, 0, len(routes))
	for _, r := range routes {
		if r.Level {
			list = append(list, hypervisor.LevelRoute{Pin: r.Pin, MSI: r.MSI})
		}
	}
	if err := h.machine.RouteLevel(list); err != nil {
		h.end(*failure(fmt.Errorf("interrupt routes: %w", err)))
	}
}
