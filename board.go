package mayfly

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/i8042"
	"github.com/mayfly-vm/mayfly/internal/device/ioapic"
	"github.com/mayfly-vm/mayfly/internal/device/power"
	"github.com/mayfly-vm/mayfly/internal/device/serial"
	"github.com/mayfly-vm/mayfly/internal/device/vmgenid"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/pci"
	"github.com/mayfly-vm/mayfly/memory"
)

// board is a machine that runs: processors, buses and devices, from one start
// to the next restart. A restart makes a new one, so nothing of the old state is
// left to be reset.
type board struct {
	vm       *VM
	machine  hypervisor.Machine
	mem      *memory.Map
	cpus     []*vcpu
	ports    bus.Bus
	mmio     bus.Bus
	power    *power.Device
	ioapic   *ioapic.Device
	pci      *pci.Host
	seats    []*seat
	panels   []byte // registers of virtio devices that the guest reads as memory
	genID    *vmgenid.Device
	watchdog *wdat.Device // nil: none
	signs    signs

	rest    sync.Once   // see complete
	partial atomic.Bool // complete is not done

	ready   chan struct{} // closed when the processors may run, or stop is set
	stop    atomic.Bool   // processors leave their loops
	ended   chan struct{}
	endOnce sync.Once
	outcome Outcome // set before ended is closed
	err     error   // likewise
	running sync.WaitGroup
	gate    sync.Cond // on gateMu; paused processors wait here
	gateMu  sync.Mutex
	paused  bool
	inGuest int // processors not waiting at the gate
}

// assemble builds a board. Where there is much to copy, the files' side goes on
// in another thread beside the KVM side; else waking one would cost more.
func (vm *VM) assemble() (*board, error) {
	if vm.mem == nil {
		m, err := memory.New(vm.plan.ram, memory.Options{HugeTLB: vm.cfg.HugePages, Prealloc: vm.cfg.Prealloc})
		if err != nil {
			return nil, err
		}
		vm.mem = m
	}
	b := &board{vm: vm, mem: vm.mem, ended: make(chan struct{})}
	b.gate.L = &b.gateMu
	b.signs.init()
	b.start()
	laid := make(chan error, 1)
	lay := func() {
		begin := time.Now()
		laid <- vm.layGuarded()
		vm.cfg.Timeline.Span("image and tables laid", begin, time.Now())
	}
	if vm.plan.toCopy > parallelCopy {
		go lay()
	} else {
		lay()
	}
	err := guarded("making the machine", b.build)
	if lerr := <-laid; err == nil {
		err = lerr
	}
	if err == nil {
		err = vm.devicesReady()
	}
	if err != nil {
		b.stop.Store(true)
		close(b.ready)
		b.running.Wait()
		b.dismantle()
		return nil, err
	}
	return b, nil
}

// layGuarded is lay, where a host page that cannot be had is an error.
func (vm *VM) layGuarded() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = broken("laying guest memory", r)
		}
	}()
	return vm.lay()
}

// parallelCopy is how many bytes take longer to copy than a thread to wake.
const parallelCopy = 1 << 20

func (b *board) build() (err error) {
	vm := b.vm
	b.machine, err = vm.host.NewMachine(vm.mem, hypervisor.Options{Processors: vm.cfg.CPUs, Eager: vm.plan.eager, IOAPICPins: vm.plan.pins(), PMU: vm.cfg.PMU})
	if err != nil {
		return err
	}
	vm.cfg.Timeline.Mark("machine made")
	if err := b.addDevices(); err != nil {
		return err
	}
	for _, c := range b.cpus {
		if c.proc, err = b.machine.NewProcessor(c.id); err != nil {
			return fmt.Errorf("processor %d of %d: %w", c.id, vm.cfg.CPUs, err)
		}
	}
	vm.cfg.Timeline.Mark("processors made")
	return nil
}

func (b *board) addDevices() error {
	b.ioapic = ioapic.New(b.vm.plan.pins(), b.machine)
	b.ioapic.OnRoutes(b.routeLevel)
	com := b.vm.port.plug(b, b.ioapic.Line(b.vm.plan.pin(gsiSerial)))
	b.power = power.New(power.Config{
		Line:     b.ioapic.Line(b.vm.plan.pin(gsiPower)),
		PowerOff: func() { b.end(Outcome{Reason: PowerOff}) },
		Reset:    b.reset,
		Mark:     b.vm.cfg.Timeline.GuestCode,
	})
	for _, d := range []struct {
		bus        *bus.Bus
		name       string
		base, size uint64
		h          bus.Handler
	}{
		{&b.ports, "serial", portSerial, serial.Size, com},
		{&b.ports, "i8042", portI8042, 1, i8042.New(b.reset)},
		{&b.ports, "power", portPower, power.Size, b.power},
		{&b.mmio, "ioapic", ioapicAddr, ioapicSize, b.ioapic},
	} {
		if err := d.bus.Add(d.name, d.base, d.size, d.h); err != nil {
			return err
		}
	}
	if err := b.addPCI(); err != nil {
		return err
	}
	if err := b.addPlatform(); err != nil {
		return err
	}
	return b.addVirtio()
}

// routeLevel tells the processors' side which pins are level triggered. Edges,
// which is all that these devices use, need no route.
func (b *board) routeLevel(routes []ioapic.Route) {
	list := make([]hypervisor.LevelRoute, 0, len(routes))
	for _, r := range routes {
		if r.Level {
			list = append(list, hypervisor.LevelRoute{Pin: r.Pin, MSI: r.MSI})
		}
	}
	if err := b.machine.RouteLevel(list); err != nil {
		b.fail(fmt.Errorf("interrupt routes: %w", err))
	}
}

// end ends the board once; the first outcome counts.
func (b *board) end(o Outcome) { b.endWith(o, nil) }

func (b *board) fail(err error) { b.endWith(Outcome{Reason: HostError, Detail: err.Error()}, err) }

func (b *board) endWith(o Outcome, err error) {
	b.endOnce.Do(func() { b.finish(o, err) })
}

func (b *board) finish(o Outcome, err error) {
	b.outcome, b.err = o, err
	b.stop.Store(true)
	close(b.ended)
	for _, s := range b.seats {
		s.instance.Halt() // a reset that its driver waits for may hold a processor
	}
	b.resume()
	for _, c := range b.cpus {
		c.proc.Kick()
	}
}

// reset is what the guest asks for by the reset register.
func (b *board) reset() { b.end(Outcome{Reason: Rebooted}) }

// endWatchdog is a reset that the next start is told of.
func (b *board) endWatchdog() {
	b.endOnce.Do(func() {
		b.vm.expired = true
		b.finish(Outcome{Reason: Rebooted, Detail: "by the watchdog"}, nil)
	})
}

// start makes the processors' records and the first one's goroutine, which has
// something to ask of the host while the machine is still being built.
func (b *board) start() {
	b.ready = make(chan struct{})
	b.inGuest = b.vm.cfg.CPUs
	for id := range b.vm.cfg.CPUs {
		b.cpus = append(b.cpus, &vcpu{board: b, id: id})
	}
	b.running.Add(1)
	go b.cpus[0].run()
}

// run lets the first processor go and starts the goroutines of the others. The
// processors' side of a start, registers and CPUID, happens in each of them.
func (b *board) run() {
	b.partial.Store(b.vm.plan.layout.HasLate() || b.machine.Partial())
	close(b.ready)
	b.running.Add(len(b.cpus) - 1)
	for _, c := range b.cpus[1:] {
		go c.run()
	}
}

// hold keeps the processors from entering the guest from now on.
func (b *board) hold() {
	b.gateMu.Lock()
	defer b.gateMu.Unlock()
	if b.paused {
		return
	}
	b.paused = true
	if b.watchdog != nil {
		b.watchdog.Pause()
	}
	for _, c := range b.cpus {
		c.proc.Kick()
	}
}

// Times of awaitHeld.
const (
	handlerGrace = 50 * time.Millisecond // for handlers of exits to end
	handlerPoll  = 10 * time.Millisecond
)

// awaitHeld returns when no processor is in the guest. One whose exit is being
// handled is not, and is held before it enters again: its handler, the reset of a
// device say, may take as long as the guest's requests.
func (b *board) awaitHeld() {
	begin := time.Now()
	wake := time.AfterFunc(handlerGrace, func() {
		b.gateMu.Lock()
		defer b.gateMu.Unlock()
		b.gate.Broadcast()
	})
	defer wake.Stop()
	b.gateMu.Lock()
	defer b.gateMu.Unlock()
	for b.paused && b.inGuest > 0 && !b.stop.Load() {
		if time.Since(begin) >= handlerGrace {
			if b.allHandling() {
				return
			}
			wake.Reset(handlerPoll)
		}
		b.gate.Wait()
	}
}

// allHandling tells whether every processor has left the guest: it waits at the
// gate, or its exit is being handled.
func (b *board) allHandling() bool {
	for _, c := range b.cpus {
		if c.answered.Load() == c.total.Load() {
			return false
		}
	}
	return true
}

func (b *board) resume() {
	b.gateMu.Lock()
	if b.paused && b.watchdog != nil {
		b.watchdog.Resume()
	}
	b.paused = false
	b.gateMu.Unlock()
	b.gate.Broadcast()
}

// waitAtGate holds a processor's goroutine while the machine is paused.
func (b *board) waitAtGate(c *vcpu) {
	b.gateMu.Lock()
	defer b.gateMu.Unlock()
	if !b.paused {
		return
	}
	b.inGuest--
	b.gate.Broadcast()
	for b.paused && !b.stop.Load() {
		b.gate.Wait()
	}
	b.inGuest++
	c.proc.WasPaused()
}

// dismantle gives back what the board holds. No processor runs any more.
func (b *board) dismantle() {
	b.vm.port.unplug()
	b.removeVirtio()
	if b.watchdog != nil {
		b.watchdog.Close()
	}
	for _, c := range b.cpus {
		if c.proc != nil {
			c.proc.Close()
		}
	}
	if b.machine != nil {
		b.machine.Close()
	}
}
