package machine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/memory"
)

// script is a hypervisor without any hardware: its vCPUs come back with the exits that
// a test wrote down. What a machine's devices do must not depend on which hypervisor it
// is.
type script struct {
	exits [][]hypervisor.Exit // of vCPU 0, for one start after the other
	made  func(n int)         // before the hypervisor's machine of start n is made
	kicks func()              // at each kick

	mu     sync.Mutex
	starts int
	msis   []bus.MSI
	states []hypervisor.State
	reads  [][]byte // what the guest read, in its order
	open   int      // machines and vCPUs not closed
	err    error    // of NewProcessor

	leaves []hypervisor.CPUID // CPUID, in addition to leaf 1
	given  []hypervisor.CPUID // to a vCPU, at last
	pmu    bool               // hypervisor.Options.PMU

	prefaults bool // CanPrefault
	asked     int  // calls of CanPrefault

	hangs func(id int) func() (hypervisor.Activity, hypervisor.State) // what vCPU id is seen to do at each sample

	partial   bool
	attached  chan struct{} // an element for each AttachRest
	attachErr error
}

func (h *script) MaxProcessors() int { return 4 }
func (h *script) CanPrefault() bool  { h.asked++; return h.prefaults }
func (h *script) CPUID() ([]hypervisor.CPUID, error) {
	return append(h.leaves, hypervisor.CPUID{Leaf: 1}), nil
}
func (h *script) Describe() string                         { return "script" }
func (h *script) Close() error                             { return nil }
func (h *script) lock() func()                             { h.mu.Lock(); return h.mu.Unlock }
func (h *script) SendMSI(m bus.MSI) error                  { defer h.lock()(); h.msis = append(h.msis, m); return nil }
func (h *script) RouteLevel([]hypervisor.LevelRoute) error { return nil }
func (h *script) NewMessage() (bus.Message, error)         { return nil, errors.ErrUnsupported }
func (h *script) Bind(bus.IOEvent) error                   { return bus.ErrNoIOEvent }
func (h *script) Unbind(bus.IOEvent) error                 { return nil }

func (h *script) NewMachine(m *memory.Map, o hypervisor.Options) (hypervisor.Machine, error) {
	if h.made != nil {
		h.made(h.starts)
	}
	defer h.lock()()
	h.open++
	h.starts++
	h.pmu = o.PMU
	return &scripted{script: h, start: h.starts - 1}, nil
}

// scripted is the machine of one start.
type scripted struct {
	*script
	start int
}

func (m *scripted) Show(uint64, []byte) bool { return false }
func (m *scripted) Partial() bool            { return m.partial }
func (m *scripted) AttachRest() error        { m.attached <- struct{}{}; return m.attachErr }
func (m *scripted) Close() error             { defer m.lock()(); m.open--; return nil }

func (m *scripted) NewProcessor(id int) (hypervisor.Processor, error) {
	defer m.lock()()
	if m.err != nil && id > 0 {
		return nil, m.err
	}
	m.open++
	p := &actor{machine: m, kick: make(chan struct{}, 1)}
	if id == 0 && m.start < len(m.exits) {
		p.exits = m.exits[m.start]
	}
	if m.hangs != nil {
		p.hangs = m.hangs(id)
	}
	return p, nil
}

// beforeTheRest is the detail of an exit that there is again and again until the
// rest of RAM is attached.
const beforeTheRest = "before the rest"

// actor plays one vCPU.
type actor struct {
	machine *scripted
	exits   []hypervisor.Exit
	last    []byte // of a read, answered by the next Run
	kick    chan struct{}
	state   hypervisor.State
	hangs   func() (hypervisor.Activity, hypervisor.State)
	now     hypervisor.State // at the latest sample
}

func (p *actor) Run(e *hypervisor.Exit) error {
	if p.last != nil {
		func() { defer p.machine.lock()(); p.machine.reads = append(p.machine.reads, bytes.Clone(p.last)) }()
		p.last = nil
	}
	select {
	case <-p.kick:
		*e = hypervisor.Exit{Kind: hypervisor.ExitKicked}
		return nil
	default:
	}
	if len(p.exits) == 0 { // the guest sleeps
		<-p.kick
		*e = hypervisor.Exit{Kind: hypervisor.ExitKicked}
		return nil
	}
	for p.exits[0].Detail == beforeTheRest && len(p.machine.attached) > 0 {
		p.exits = p.exits[1:]
	}
	*e = p.exits[0]
	if e.Detail != beforeTheRest {
		p.exits = p.exits[1:]
	}
	if e.Kind == hypervisor.ExitPortIn || e.Kind == hypervisor.ExitMMIORead {
		e.Data = make([]byte, len(e.Data))
		p.last = e.Data
	}
	if e.Kind == hypervisor.ExitOther && e.Detail == beforeTheRest {
		return unix.EFAULT
	}
	if e.Kind == hypervisor.ExitOther && e.Detail == "fails" {
		return errors.New("the host failed")
	}
	return nil
}

func (p *actor) Kick() {
	if p.machine.kicks != nil {
		p.machine.kicks()
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

func (p *actor) State() (hypervisor.State, error) {
	if p.hangs != nil {
		return p.now, nil
	}
	return p.state, nil
}

func (p *actor) Activity() (a hypervisor.Activity, err error) {
	if p.hangs != nil {
		a, p.now = p.hangs()
	}
	return a, nil
}

func (p *actor) SetState(s *hypervisor.State) error {
	defer p.machine.lock()()
	p.state, p.machine.states = *s, append(p.machine.states, *s)
	return nil
}
func (p *actor) SetCPUID(l []hypervisor.CPUID) error {
	defer p.machine.lock()()
	p.machine.given = l
	return nil
}
func (p *actor) SetMSRs([]hypervisor.MSR) error         { return nil }
func (p *actor) TSCKHz() (int, error)                   { return 1, nil }
func (p *actor) WasPaused()                             {}
func (p *actor) Translate(v uint64) (memory.Addr, bool) { return memory.Addr(v), true }
func (p *actor) Prefault(memory.Addr, uint64) bool      { return false }
func (p *actor) Close() error                           { defer p.machine.lock()(); p.machine.open--; return nil }

func out(port uint64, b ...byte) hypervisor.Exit {
	return hypervisor.Exit{Kind: hypervisor.ExitPortOut, Addr: port, Size: 1, Data: b}
}

func in(port uint64) hypervisor.Exit {
	return hypervisor.Exit{Kind: hypervisor.ExitPortIn, Addr: port, Size: 1, Data: make([]byte, 1)}
}

func write32(addr uint64, v uint32) hypervisor.Exit {
	return hypervisor.Exit{Kind: hypervisor.ExitMMIOWrite, Addr: addr, Size: 4, Data: binary.LittleEndian.AppendUint32(nil, v)}
}

// setup is what a test wants of a machine. The zero value is one with a vCPU, the
// check guest and no devices, on which layout decides where it can.
type setup struct {
	kernel  []byte // of a file of its own; nil: check.ELF
	initrd  string // path; "": none
	request layout.Request
	spec    Spec // what is set here stays: vCPUs, console …
}

// build makes the Spec over a host that it closes.
func (c setup) build(t testing.TB, host hypervisor.Host) Spec {
	t.Helper()
	s := c.spec
	s.Host = host
	s.CPUs, s.Memory = cmp.Or(s.CPUs, 1), cmp.Or(s.Memory, 256<<20)
	if c.kernel == nil {
		c.kernel = check.ELF
	}
	path := filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(path, c.kernel, 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.Image, err = kernel.Open(path, kernel.Options{}); err != nil {
		t.Fatal(err)
	}
	if c.initrd != "" {
		if s.Initrds, err = kernel.OpenInitrds([]string{c.initrd}); err != nil {
			t.Fatal(err)
		}
	}
	r := c.request
	r.Memory, r.HugePages, r.Prealloc = s.Memory, s.HugePages, s.Prealloc
	for _, d := range s.Devices {
		r.Devices = append(r.Devices, layout.Device{Name: d.Name, Type: d.Device.Type()})
	}
	if s.Plan, err = layout.New(&r, s.Image, s.Initrds); err != nil {
		t.Fatal(err)
	}
	return s
}

// onScript makes a machine on a script, which is closed at the test's end.
func onScript(t testing.TB, c setup, h *script) *Machine {
	t.Helper()
	m := Make(c.build(t, h))
	t.Cleanup(func() {
		m.Close()
		<-m.Released()
		if h.open != 0 {
			t.Errorf("%d machines and vCPUs were not closed", h.open)
		}
	})
	return m
}

// kernelPath is the file that the guest is loaded from.
func (m *Machine) kernelPath() string { return m.spec.Image.Path }

// play is a whole life of a machine on a script.
func play(t *testing.T, c setup, h *script) (Outcome, error) {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	m := onScript(t, c, h)
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), machinetest.Patience)
	defer cancel()
	return m.Wait(ctx)
}

func TestDevicesDoNotKnowTheirProcessor(t *testing.T) {
	var screen bytes.Buffer
	const high = 0xFEC00010
	h := &script{exits: [][]hypervisor.Exit{{
		out(layout.PortSerial, []byte("hello")...), // one string instruction
		// COM1's pin to vector 0x31 of the vCPU with id 0, then an interrupt.
		write32(layout.IOAPICAddr, 0x10+2*(layout.GSISerial-layout.GSIPower)), write32(high, 0x31),
		out(layout.PortSerial+1, 2),
		in(layout.PortSerial + 2), // IIR: the transmitter is empty
		in(0x1234),                // nobody
		{Kind: hypervisor.ExitMMIORead, Addr: 0xD0000000, Size: 4, Data: make([]byte, 4)}, // nobody
		{Kind: hypervisor.ExitMMIOWrite, Addr: 0x300000, Size: 2, Data: []byte{0xAB, 0xCD}},
		{Kind: hypervisor.ExitMMIORead, Addr: 0x300000, Size: 4, Data: make([]byte, 4)}, // RAM all the same
		out(layout.PortPower, 0x34),
	}}}
	o, err := play(t, setup{spec: Spec{Console: Console{Out: &screen}}, request: layout.Request{Platform: layout.PlatformLinux}}, h)
	if err != nil || o.Reason != PowerOff {
		t.Errorf("%+v, %v", o, err)
	}
	if screen.String() != "hello" {
		t.Errorf("the console shows %q", &screen)
	}
	if want := [][]byte{{0x02}, {0xFF}, {0xFF, 0xFF, 0xFF, 0xFF}, {0xAB, 0xCD, 0, 0}}; len(h.reads) != len(want) || !bytes.Equal(bytes.Join(h.reads, []byte("|")), bytes.Join(want, []byte("|"))) {
		t.Errorf("the guest read %x, want %x", h.reads, want)
	}
	if len(h.msis) != 1 || h.msis[0].Addr != 0xFEE00000 || h.msis[0].Data&0xFF != 0x31 {
		t.Errorf("interrupts %+v", h.msis)
	}
	if len(h.states) != 1 || h.states[0].RBX != layout.StartInfoAddr || h.states[0].RSP != layout.StackTop || h.states[0].CR0&^0x10 != 1 {
		t.Errorf("entry states %+v", h.states)
	}
}

// Memory is completed once: by the guest's first touch of what is missing, by an
// instruction or a write that failed over it, or by the supervisor of a guest that does neither.
func TestMemoryIsCompleted(t *testing.T) {
	bad := hypervisor.Exit{Kind: hypervisor.ExitInternalError, Detail: "no such instruction"}
	early := hypervisor.Exit{Kind: hypervisor.ExitInternalError, Detail: beforeTheRest}
	sealed := hypervisor.Exit{Kind: hypervisor.ExitOther, Detail: beforeTheRest}
	touch := hypervisor.Exit{Kind: hypervisor.ExitMMIOWrite, Addr: 0x300000, Size: 1, Data: []byte{1}}
	off := out(layout.PortPower, 0x34)
	for name, c := range map[string]struct {
		exits  []hypervisor.Exit
		err    error
		reason Reason
	}{
		"touched":              {[]hypervisor.Exit{touch, touch, off}, nil, PowerOff},
		"an instruction fails": {[]hypervisor.Exit{early, off}, nil, PowerOff},
		"a write fails":        {[]hypervisor.Exit{sealed, off}, nil, PowerOff},
		"fails again":          {[]hypervisor.Exit{early, bad, bad, off}, nil, InternalError}, // the first bad one may be tried again too
		"a file has changed":   {[]hypervisor.Exit{touch, touch, off}, changedError("vmlinux was written to"), ImageChanged},
		"refused":              {[]hypervisor.Exit{touch, touch, off}, errors.New("no more slots"), HostError},
	} {
		t.Run(name, func(t *testing.T) {
			h := &script{partial: true, attached: make(chan struct{}, 9), attachErr: c.err, exits: [][]hypervisor.Exit{c.exits}}
			o, err := play(t, setup{}, h)
			if n := len(h.attached); o.Reason != c.reason || (err != nil) != (c.reason == HostError) || n != 1 {
				t.Errorf("%+v, %v, attached %d times", o, err, n)
			}
		})
	}
	t.Run("idle", func(t *testing.T) {
		h := &script{partial: true, attached: make(chan struct{})}
		if err := onScript(t, setup{}, h).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-h.attached
	})
}

func TestExitsThatEndAMachine(t *testing.T) {
	for _, c := range []struct {
		exit   hypervisor.Exit
		reason Reason
		detail string
	}{
		{hypervisor.Exit{Kind: hypervisor.ExitHalt}, Halted, ""},
		{hypervisor.Exit{Kind: hypervisor.ExitShutdown}, TripleFault, "vCPU 0 at rip 0x1"},
		{hypervisor.Exit{Kind: hypervisor.ExitFailEntry, Detail: "reason 7"}, FailedEntry, "reason 7\nvCPU 0"},
		{hypervisor.Exit{Kind: hypervisor.ExitInternalError, Detail: "suberror 1"}, InternalError, "suberror 1\nvCPU 0"},
		{hypervisor.Exit{Kind: hypervisor.ExitOther, Detail: "reason 99"}, InternalError, "reason 99"},
		{out(layout.PortI8042, 0xFE), Rebooted, ""},
		{out(layout.PortPower+2, 1), Rebooted, ""},
		{hypervisor.Exit{Kind: hypervisor.ExitOther, Detail: "fails"}, HostError, "vCPU 0: the host failed"},
	} {
		t.Run(c.exit.Kind.String()+" "+string(c.reason), func(t *testing.T) {
			o, err := play(t, setup{spec: Spec{ExitOnReboot: true}}, &script{exits: [][]hypervisor.Exit{{c.exit}}})
			if o.Reason != c.reason || !strings.Contains(o.Detail, c.detail) || (err != nil) != (c.reason == HostError) {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

// A defect of ours ends the one machine with a report, not the program.
func TestAPanicIsTheMachinesEnd(t *testing.T) {
	o, err := play(t, setup{}, &script{exits: [][]hypervisor.Exit{{{Kind: hypervisor.NumExitKinds}}}}) // beyond the counters
	var defect *brokenError
	if o.Reason != HostError || !errors.As(err, &defect) || !strings.Contains(err.Error(), "index out of range") || !strings.Contains(err.Error(), "vcpu.go") {
		t.Errorf("%+v, %v", o, err)
	}
}

// Nor does one of the goroutine that supervises the machine leave anything open:
// while it watches the vCPUs, or during the restart.
func TestAPanicOfTheSupervisorLeavesNothing(t *testing.T) {
	var once sync.Once
	for name, h := range map[string]*script{
		"watching":   {kicks: func() { once.Do(func() { panic("kicked") }) }},
		"restarting": {exits: [][]hypervisor.Exit{{out(layout.PortPower+2, 1)}}, made: func(n int) { panicIf(n == 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := play(t, setup{}, h)
			if o.Reason != HostError || !errors.As(err, new(*brokenError)) {
				t.Errorf("%+v, %v", o, err)
			}
			if h.open != 0 {
				t.Errorf("%d machines and vCPUs are open", h.open)
			}
		})
	}
}

func panicIf(c bool) {
	if c {
		panic("made")
	}
}

// Calls that come during a restart, when the old hardware is closed and the next is
// not made yet.
func TestCallsDuringARestart(t *testing.T) {
	for name, call := range map[string]func(*Machine) error{"Kill": (*Machine).Kill, "Close": (*Machine).Close} {
		t.Run(name, func(t *testing.T) {
			h := &script{exits: [][]hypervisor.Exit{{out(layout.PortPower+2, 1)}}} // the second start would run for ever
			m := onScript(t, setup{}, h)
			began, called := make(chan struct{}), make(chan error, 1)
			h.made = func(n int) {
				if n == 1 {
					go func() { close(began); called <- call(m) }()
					<-began
				}
			}
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if o, err := m.Wait(t.Context()); err != nil || o.Reason != Killed {
				t.Errorf("%+v, %v", o, err)
			}
			if err := <-called; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestAFailedStartLeavesNothingAndCanBeRepeated(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	h := &script{err: errors.New("no more vCPUs"), exits: [][]hypervisor.Exit{nil, {out(layout.PortPower, 0x34)}}}
	m := onScript(t, setup{spec: Spec{CPUs: 2}}, h)
	if err := m.Start(t.Context()); !errors.Is(err, h.err) || !strings.Contains(err.Error(), "vCPU 1 of 2") {
		t.Errorf("Start: %v", err)
	}
	if h.open != 0 {
		t.Errorf("%d machines and vCPUs are open", h.open)
	}
	if s := m.Stats(); s.State != New || s.Uptime != 0 {
		t.Errorf("%+v", s)
	}
	h.err = nil
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := m.Wait(t.Context()); err != nil || o.Reason != PowerOff {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestAccessesDoNotAllocate(t *testing.T) {
	m := onScript(t, setup{}, &script{})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := m.hardware.vcpus.list[0]
	for name, e := range map[string]hypervisor.Exit{
		"serial out": out(layout.PortSerial+7, 1), "serial in": in(layout.PortSerial + 5), "data": out(layout.PortSerial, 'x'),
		"nobody": in(0x70), "ioapic": write32(layout.IOAPICAddr, 1),
	} {
		if n := testing.AllocsPerRun(100, func() { c.handle(&e) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
