// Package mayfly runs virtual machines on Linux/KVM: it maps a kernel into
// guest memory, puts one virtual CPU into the state that the PVH boot ABI
// describes, and enters the kernel. No firmware, no real mode.
//
//	vm, err := mayfly.New(mayfly.Config{Kernel: "vmlinux", Initrd: []string{"initrd.img"}})
//	if err != nil { … }
//	defer vm.Close()
//	if err := vm.Start(ctx); err != nil { … }
//	outcome, err := vm.Wait(ctx)
//
// A process can hold many machines. After Close nothing of a machine is left:
// no goroutine, file descriptor or mapping. Only where the host's kernel does not
// let go, in the middle of a transfer to a disk that has failed say, does Close
// return before that; Released tells when.
//
// A packed kernel, such as a distribution's vmlinuz, is unpacked once, into a
// cache. A program does that in its own process if it imports the decompressors,
// which cost each of its starts some 0.3 ms:
//
//	import _ "github.com/mayfly-vm/mayfly/kernel/unpack"
//
// Else the program mayfly-unpack is run, which is looked for beside the running
// program and in PATH. Where neither is, only an unpacked vmlinux can be booted.
package mayfly

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

// Errors about calls that come at the wrong time.
var (
	ErrClosed     = errors.New("mayfly: the machine is closed")
	ErrStarted    = errors.New("mayfly: the machine was started already")
	ErrNotRunning = errors.New("mayfly: the machine is not running")
)

// VM is a virtual machine. Its methods may be called from any goroutine.
type VM struct {
	cfg     Config
	image   *kernel.Image
	initrds []loader.File
	devices []Device
	plan    *Plan
	host    hypervisor.Host
	mem     *memory.Map

	down     *board         // the supervisor's: the last that was taken down, or is being
	work     sync.WaitGroup // a Start and the supervisor after it
	done     chan struct{}  // closed when result and err are set
	released chan struct{}
	closed   sync.Once

	mu       sync.Mutex // of what follows. Nobody waits for anything while holding it
	state    state
	board    *board   // while running, but for its first and last moments
	pauses   int      // Pause calls without their Resume
	pressed  bool     // the power button, while there was no board
	killed   bool     // no restart any more
	killing  string   // Outcome.Detail of that
	expired  bool     // the watchdog's doing is the next start
	final    *Outcome // of a machine that is being taken down
	finalErr error    // likewise
	result   Outcome
	err      error

	killSeen chan struct{} // closed when killed is set
	pace     restartPace   // the supervisor's

	port    *port
	console *console
}

type state uint8

const (
	stateNew     state = iota
	stateRunning       // from the call of Start on
	stateEnded
	stateClosed
)

// New checks the configuration and opens what it names: the kernel, the
// initrds, the KVM device. Nothing of the guest exists yet. The machine must be
// closed even if it is never started.
func New(c Config) (*VM, error) {
	vm := newVM(c)
	if err := vm.cfg.check(); err != nil {
		vm.release()
		return nil, err
	}
	if err := vm.open(); err != nil {
		vm.release()
		return nil, err
	}
	vm.reportWarnings()
	return vm, nil
}

func newVM(c Config) *VM {
	return &VM{cfg: c.withDefaults(), done: make(chan struct{}), released: make(chan struct{}), killSeen: make(chan struct{})}
}

// open opens the files and the KVM device, one after the other: each takes less
// than it costs to wake another thread.
func (vm *VM) open() (err error) {
	if err = vm.openFiles(); err != nil {
		return err
	}
	if vm.host, err = openHost(vm.cfg.KVM); err != nil {
		return err
	}
	if most := vm.host.MaxProcessors(); vm.cfg.CPUs > most {
		return &ConfigError{"CPUs", fmt.Sprintf("%d: this host's KVM runs at most %d in one machine", vm.cfg.CPUs, most)}
	}
	vm.plan.fitHost(vm.host)
	if err := vm.checkWidth(); err != nil {
		return err
	}
	if err := vm.checkMemory(); err != nil {
		return err
	}
	if err := vm.checkFeatures(); err != nil {
		return err
	}
	if err := vm.openDevices(); err != nil {
		return err
	}
	vm.cfg.Timeline.Mark("files and KVM open")
	return nil
}

// NewPlan tells how New would lay a machine out. It opens the files and closes
// them again; KVM is not asked.
func NewPlan(c Config) (*Plan, error) {
	vm := &VM{cfg: c.withDefaults()}
	if err := vm.cfg.check(); err != nil {
		return nil, err
	}
	defer func() {
		vm.cfg.Devices = nil // not taken over
		vm.release()
	}()
	if err := vm.openFiles(); err != nil {
		return nil, err
	}
	return vm.plan, nil
}

func (vm *VM) openFiles() (err error) {
	if vm.image, err = kernel.Open(vm.cfg.Kernel, kernel.Options{CacheDir: vm.cfg.CacheDir}); err != nil {
		return err
	}
	if vm.initrds, err = kernel.OpenInitrds(vm.cfg.Initrd); err != nil {
		return err
	}
	vm.plan, err = makePlan(&vm.cfg, vm.image, vm.initrds)
	return err
}

// Plan is how the machine will be laid out; it is fixed by New.
func (vm *VM) Plan() *Plan { return vm.plan }

// Start loads the machine and lets it run; it returns when the first processor
// is about to enter the guest. When ctx ends, the machine is killed: cancel it to
// bound a machine's life.
func (vm *VM) Start(ctx context.Context) error {
	if err := vm.begin(ctx); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() { vm.kill(ctx.Err().Error()) })
	b, err := vm.assemble()
	if err != nil {
		forget()
		vm.startFailed(err)
		vm.work.Done()
		return err
	}
	vm.launch(b)
	vm.console = startConsole(vm.cfg.Console.In, vm.port.serial)
	go func() {
		defer vm.work.Done()
		defer forget()
		vm.supervise(b)
	}()
	return nil
}

func (vm *VM) begin(ctx context.Context) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	switch vm.state {
	case stateNew:
	case stateClosed:
		return ErrClosed
	default:
		return ErrStarted
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if vm.port == nil {
		port, err := vm.newPort()
		if err != nil {
			return err
		}
		vm.port = port
	}
	vm.state = stateRunning
	vm.work.Add(1)
	return nil
}

// startFailed lets the machine be started again, unless it was killed meanwhile.
func (vm *VM) startFailed(err error) {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.killed {
		vm.publish(Outcome{Reason: Killed, Detail: vm.killing}, nil)
		return
	}
	vm.state, vm.pauses, vm.pressed = stateNew, 0, false
}

// Wait returns how the machine ended. The error is ctx's, or that of a failure
// of the host.
func (vm *VM) Wait(ctx context.Context) (Outcome, error) {
	select {
	case <-vm.done:
		return vm.result, vm.err
	default:
	}
	select {
	case <-vm.done:
		return vm.result, vm.err
	case <-ctx.Done():
		return Outcome{}, ctx.Err()
	}
}

// Pause stops all processors and returns when none is in the guest. Each Pause
// wants its Resume.
func (vm *VM) Pause() error {
	var held *board
	err := vm.whileRunning(func(b *board) error {
		if vm.pauses++; b != nil { // the next board is held before it runs
			b.hold()
			held = b
		}
		return nil
	})
	if held != nil {
		held.awaitHeld()
	}
	return err
}

// Resume lets the processors go on.
func (vm *VM) Resume() error {
	return vm.whileRunning(func(b *board) error {
		if vm.pauses == 0 {
			return errors.New("mayfly: the machine is not paused")
		}
		if vm.pauses--; vm.pauses == 0 && b != nil {
			b.resume()
		}
		return nil
	})
}

// PowerButton presses the ACPI power button: a guest that listens shuts down.
func (vm *VM) PowerButton() error {
	return vm.whileRunning(func(b *board) error {
		if vm.pressed = b == nil; b != nil {
			b.power.PressButton()
		}
		return nil
	})
}

// Break puts a break condition on the serial line, after the input that waits
// there. Linux takes a break and a letter for a SysRq request.
func (vm *VM) Break() error {
	return vm.whileRunning(func(*board) error {
		if !vm.port.serial.Break() {
			return errors.New("mayfly: no room for a break: the guest has left its input unread")
		}
		return nil
	})
}

// whileRunning calls do with the board at hand: nil while the machine starts or one
// takes the place of another. do holds mu, and so must not wait.
func (vm *VM) whileRunning(do func(*board) error) error {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	switch vm.state {
	case stateClosed:
		return ErrClosed
	case stateRunning:
		return do(vm.board)
	}
	return ErrNotRunning
}

func (vm *VM) release() {
	if vm.port != nil {
		vm.port.serial.Close() // after a Start that failed
	}
	vm.closeDevices() // before the memory that they know
	if vm.mem != nil {
		vm.mem.Close()
	}
	if vm.host != nil {
		vm.host.Close()
	}
	for i := range vm.initrds {
		vm.initrds[i].Close()
	}
	if vm.image != nil {
		vm.image.Close()
	}
}
