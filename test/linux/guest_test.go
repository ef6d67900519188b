package linux

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/lab"
)

// patience is how long a guest may take to do what is waited for; a second is
// usual, on KVM. More than that and the test fails with the end of the guest's output.
var patience = 60 * time.Second

// words is the command line of a Linux guest: the defaults, and what the test
// init shall do. The kernel's log is in the report, not on the slow console.
func words(w ...string) string {
	all := append([]string{mayfly.DefaultCmdline(mayfly.BusAuto), "quiet", "printk.time=1"}, w...)
	return strings.TrimSpace(strings.Join(append(all, steadyTick()), " "))
}

// steadyTick keeps a guest's idle processors ticking in the nest. QEMU's SVM
// forgets at VMRUN that sti holds interrupts back for one instruction more
// (VMCB field INTERRUPT_SHADOW): an interrupt that comes between an idle
// processor's sti and hlt wakes nobody, and without the tick that processor may
// sleep for ever.
func steadyTick() string {
	if lab.Inside() == "nest" {
		return "nohz=off"
	}
	return ""
}

// guest is a machine that runs.
type guest struct {
	t   testing.TB
	vm  *mayfly.Process
	out *machinetest.Output
}

// start boots, in a process of its own that is confined as the command is. It fills in initrd and command line if there are none.
func start(t testing.TB, c mayfly.Config) *guest {
	t.Helper()
	needsCPUs(t, c.CPUs)
	c.Processor = mayfly.Processor(*processor)
	if c.Initrd == nil {
		c.Initrd = []string{initrdFile}
	}
	if c.Cmdline == "" {
		c.Cmdline = words()
	}
	g := &guest{t: t, out: new(machinetest.Output)}
	c.Console.Out = g.out
	var err error
	if g.vm, err = mayfly.Spawn(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.vm.Close() })
	if err := g.vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// wait returns how the machine ended.
func (g *guest) wait() mayfly.Outcome {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	o, err := g.vm.Wait(ctx)
	if err != nil {
		g.t.Fatalf("%v\n%s", err, g.out.Tail())
	}
	return o
}

// ends waits for the end and fails the test if it is another.
func (g *guest) ends(want mayfly.Reason) mayfly.Outcome {
	g.t.Helper()
	o := g.wait()
	if o.Reason != want {
		g.t.Fatalf("the guest ended: %v (%s), want: %v\n%s", o.Reason, o.Detail, want, g.out.Tail())
	}
	return o
}

// says waits until the guest has written a line.
func (g *guest) says(line string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if err := g.out.Wait(ctx, line+"\n"); err != nil {
		g.t.Fatalf("the guest did not write %q: %v\n%s", line, err, g.out.Tail())
	}
}

// report is the guest's last report.
func (g *guest) report() *report.Report {
	g.t.Helper()
	r, err := report.Parse([]byte(g.out.String()))
	if err != nil {
		g.t.Fatalf("%v\n%s", err, g.out.Tail())
	}
	if len(r.Errors) > 0 {
		g.t.Errorf("the guest could not read: %q", r.Errors)
	}
	return r
}
