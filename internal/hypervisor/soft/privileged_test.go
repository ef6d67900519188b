package soft_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/privileged"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/memory"
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
	host, m := newHost(t, privileged.Memory)
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
	return newMachine(b.t, b.host, b.memory, privileged.TextBase, 0)
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
