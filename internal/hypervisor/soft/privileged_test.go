package soft_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/privileged"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/hypervisor/soft"
	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/pvh"
)

// build assembles cases.
func build(t *testing.T, cases []privileged.Case) *privileged.Guest {
	t.Helper()
	g, err := privileged.Build(t.TempDir(), cases)
	if errors.Is(err, privileged.ErrNoAssembler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// bench is a software processor, and memory, for one case after another.
type bench struct {
	t      *testing.T
	guest  *privileged.Guest
	host   hypervisor.Host
	memory *memory.Map
}

func newBench(t *testing.T, g *privileged.Guest) *bench {
	t.Helper()
	host, err := soft.Open()
	if err != nil {
		t.Fatal(err)
	}
	m, err := memory.New([]memory.Range{{Size: privileged.Memory}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Close()
		host.Close()
	})
	return &bench{t, g, host, m}
}

// prepare has the guest in memory run one case.
func (b *bench) prepare(index int) {
	b.t.Helper()
	log, err := b.memory.Slice(privileged.Log, privileged.LogSize)
	if err != nil {
		b.t.Fatal(err)
	}
	clear(log[:256<<10])
	addr, vars := privileged.Range(index, index+1, true)
	if _, err := b.memory.WriteAt(vars, int64(addr)); err != nil {
		b.t.Fatal(err)
	}
}

// boot loads the guest, as at a start or reset of the machine, and returns a machine with a processor at the guest's entry.
func (b *bench) boot() (hypervisor.Machine, hypervisor.Processor) {
	b.t.Helper()
	if _, err := b.memory.WriteAt(b.guest.Text, privileged.TextBase); err != nil {
		b.t.Fatal(err)
	}
	machine, err := b.host.NewMachine(b.memory, hypervisor.Options{Processors: 1})
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := machine.NewProcessor(0)
	if err != nil {
		b.t.Fatal(err)
	}
	e := pvh.NewEntryState(privileged.TextBase, 0)
	s := hypervisor.State{RIP: e.RIP, RFLAGS: e.RFlags, CR0: e.CR0, CS: e.CS, DS: e.Data, ES: e.Data, FS: e.Data, GS: e.Data, SS: e.Data, TR: e.TR}
	list, err := b.host.CPUID()
	if err == nil {
		err = p.SetCPUID(list)
	}
	if err == nil {
		err = p.SetState(&s)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return machine, p
}

// run runs a case, to its end or for some seconds.
func (b *bench) run(index int) privileged.Result {
	b.t.Helper()
	b.prepare(index)
	for range 2 {
		machine, p := b.boot()
		ended := b.toEnd(p)
		p.Close()
		machine.Close()
		if ended {
			break
		}
	}
	log, err := b.memory.Slice(privileged.Log, privileged.LogSize)
	if err != nil {
		b.t.Fatal(err)
	}
	list, err := b.guest.Results(log)
	if err != nil {
		b.t.Fatalf("%s: %v", b.guest.Cases[index].Name, err)
	}
	return list[index]
}

// toEnd runs a processor until the guest has ended; false: it has shut down.
func (b *bench) toEnd(p hypervisor.Processor) bool {
	b.t.Helper()
	timer := time.AfterFunc(3*time.Second, p.Kick)
	defer timer.Stop()
	var e hypervisor.Exit
	for {
		if err := p.Run(&e); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case e.Kind == hypervisor.ExitShutdown:
			return false
		case e.Kind == hypervisor.ExitPortOut && e.Addr == privileged.EndPort:
			return true
		case e.Kind == hypervisor.ExitPortIn, e.Kind == hypervisor.ExitMMIORead:
			for i := range e.Data {
				e.Data[i] = 0xFF
			}
		case e.Kind != hypervisor.ExitPortOut && e.Kind != hypervisor.ExitMMIOWrite:
			return true // the case has no end
		}
	}
}

// qemuArgs are QEMU's arguments for the guest, with its memory in a file.
func qemuArgs(dir string, g *privileged.Guest, first, last int) ([]string, error) {
	ram, kernel := filepath.Join(dir, "ram"), filepath.Join(dir, "kernel")
	if err := os.WriteFile(kernel, g.ELF, 0o600); err != nil {
		return nil, err
	}
	f, err := os.Create(ram)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	addr, vars := privileged.Range(first, last, false)
	if _, err := f.WriteAt(vars, int64(addr)); err != nil {
		return nil, err
	}
	if err := f.Truncate(privileged.Memory); err != nil {
		return nil, err
	}
	return []string{
		"-M", "microvm,memory-backend=ram,rtc=off,pit=off,pic=off", "-accel", "tcg", "-cpu", "qemu64,vendor=GenuineIntel,+smep,+pdpe1gb,+movbe,+popcnt,+sse4.1,+sse4.2,+ssse3,+rdtscp,-vme,-de", "-icount", "shift=0",
		"-m", fmt.Sprint(privileged.Memory >> 20), "-object", fmt.Sprintf("memory-backend-file,id=ram,size=%d,mem-path=%s,share=on", privileged.Memory, ram),
		"-nodefaults", "-display", "none", "-device", fmt.Sprintf("isa-debug-exit,iobase=%#x,iosize=4", privileged.EndPort), "-kernel", kernel,
	}, nil
}

// onQEMU runs all cases on QEMU.
func onQEMU(t *testing.T, g *privileged.Guest) []privileged.Result {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	dir := t.TempDir()
	args, err := qemuArgs(dir, g, 0, len(g.Cases))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	begin := time.Now()
	out, err := exec.CommandContext(ctx, qemu, args...).CombinedOutput()
	var end *exec.ExitError
	if !errors.As(err, &end) || end.ExitCode() != 1 {
		t.Errorf("qemu: %v\n%s", err, out)
	}
	t.Logf("QEMU took %v", time.Since(begin))
	f, err := os.Open(filepath.Join(dir, "ram"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log, err := unix.Mmap(int(f.Fd()), privileged.Log, privileged.LogSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(log) }()
	list, err := g.Results(log)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if !list[i].Ran && g.Cases[i].Want == "" {
			t.Fatalf("QEMU does not come to an end of %s", g.Cases[i].Name)
		}
	}
	return list
}

// Each case leaves the same on QEMU's processor and on this one, but where QEMU is known not to do as the manual says.
func TestPrivilegedAgainstQEMU(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts QEMU")
	}
	g := build(t, privileged.Corpus())
	theirs := onQEMU(t, g)
	b := newBench(t, g)
	events := 0
	for i := range g.Cases {
		c, ours := &g.Cases[i], b.run(i)
		events += len(ours.Events)
		if c.Want != "" {
			if got := ours.Titles(); got != c.Want {
				t.Errorf("%s: %s, want %s", c.Name, got, c.Want)
			}
			continue
		}
		rules.correct(c, &theirs[i], &ours)
		if d := explain(c.Name, g.Differences(&theirs[i], &ours)); len(d) > 0 {
			t.Errorf("%s: QEMU | soft:\n\t%s", c.Name, strings.Join(d, "\n\t"))
			if testing.Verbose() {
				t.Logf("QEMU:\n%ssoft:\n%s", g.Trace(&theirs[i]), g.Trace(&ours))
			}
		}
	}
	unused(t)
	t.Logf("%d cases with %d exceptions", len(g.Cases), events)
}

// unused reports what is on the lists, and QEMU does as the manual says: a mistake for the version that the lists are of.
func unused(t *testing.T) {
	t.Helper()
	version, err := exec.Command("qemu-system-x86_64", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	report := t.Logf
	if strings.Contains(string(version), " 7.2.") {
		report = t.Errorf
	}
	for _, r := range rules {
		if !r.used {
			report("QEMU does as the manual says, %s: %s", r.manual, r.what)
		}
	}
	for _, k := range deviations {
		if !k.used {
			report("QEMU does as the manual says, %s: %s", k.manual, k.what)
		}
	}
}
