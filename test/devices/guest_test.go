package devices

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/ratelimit"
)

// patience is how long a guest may take to do what is waited for; a second is
// usual. More than that and the test fails with the guest's last words.
var patience = 90 * time.Second

// guest is a machine that runs, with devinit in it.
type guest struct {
	t        testing.TB
	vm       machine
	out      *machinetest.Output
	keys     *os.File   // the console's input
	next     int        // number of the next question
	reported *reportLog // what the monitor reported
}

// machine is what tests need of a mayfly.Process or a mayfly.VM.
type machine interface {
	Start(context.Context) error
	Wait(context.Context) (mayfly.Outcome, error)
	Pause(context.Context) error
	Resume() error
	PowerButton() error
	Kill() error
	Close() error
	Stats() mayfly.Stats
	ChangeDisk(string, mayfly.DeviceConfig) error
	RefreshDisk(string) error
	SetDiskLimits(string, ratelimit.Config) error
	SetLink(string, bool) error
	ResizeConsole(string, int, uint16, uint16) error
}

// spawned is a machine in a process of its own, which is confined as the command is: each
// test shows that a device needs nothing that this takes away.
func spawned(c mayfly.Config) (machine, error) { return mayfly.Spawn(c) }

// embedded is a machine in this process, for what another can't be handed.
func embedded(c mayfly.Config) (machine, error) { return mayfly.New(c) }

// variant is how a guest reaches its devices.
type variant struct {
	kernel string
	bus    mayfly.Bus
	packed bool
	cpus   int
}

func (v variant) String() string {
	s := []string{strings.SplitN(v.kernel, "/", 2)[0], "mmio", "split", fmt.Sprintf("%d cpus", v.cpus)}
	if v.bus == mayfly.BusPCI {
		s[1] = "pci"
	}
	if v.packed {
		s[2] = "packed"
	}
	return strings.Join(s, ",")
}

// variants cover each pair of a kernel, a transport, a kind of ring and a number
// of processors.
var variants = []variant{
	{smallKernel, mayfly.BusMMIO, false, 1},
	{smallKernel, mayfly.BusPCI, true, 4},
	{debianKernel, mayfly.BusMMIO, true, 4},
	{debianKernel, mayfly.BusPCI, false, 1},
	{smallKernel, mayfly.BusMMIO, true, 1},
	{smallKernel, mayfly.BusPCI, false, 4},
}

// small is the variant of tests that are about something else.
var small = variants[0]

// cmdline is the command line of a guest: the kernel's messages stay in its log.
func cmdline(bus mayfly.Bus, words ...string) string {
	// nohz=off: QEMU's SVM may lose the interrupt that wakes an idle processor; see
	// test/linux.
	all := append([]string{mayfly.DefaultCmdline(bus), "quiet", "nohz=off"}, words...)
	return strings.Join(all, " ")
}

// boot starts a guest and waits until it takes questions. What the configuration
// leaves open comes from the variant.
func boot(t testing.TB, v variant, c mayfly.Config) *guest {
	t.Helper()
	g := launch(t, v, c, spawned)
	g.ready()
	return g
}

func launch(t testing.TB, v variant, c mayfly.Config, open func(mayfly.Config) (machine, error)) *guest {
	t.Helper()
	needsCPUs(t, v.cpus)
	c.Bus, c.CPUs, c.Processor = v.bus, v.cpus, mayfly.Processor(*processor)
	if c.Kernel == "" {
		c.Kernel, c.Initrd = v.kernel, []string{smallInitrd}
		if v.kernel == debianKernel {
			c.Initrd = []string{debianInitrd}
		}
	}
	if c.Cmdline == "" {
		c.Cmdline = cmdline(v.bus)
	}
	for i := range c.Devices {
		if v.packed {
			c.Devices[i] = mayfly.Packed{DeviceConfig: c.Devices[i]}
		}
	}
	g := &guest{t: t, out: new(machinetest.Output), reported: reportsOf(t)}
	in, keys, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	g.keys = keys
	c.Console, c.Logger = mayfly.Console{In: in, Out: g.out}, slog.New(g.reported)
	if g.vm, err = open(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.vm.Close()
		in.Close()
		keys.Close()
	})
	if err := g.vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// ready waits until devinit takes questions.
func (g *guest) ready() {
	g.t.Helper()
	g.says(ask.Ready + "\n")
}

// says waits until the text is on the console.
func (g *guest) says(text string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	if err := g.out.Wait(ctx, text); err != nil {
		g.t.Fatalf("the guest did not write %q: %v\n%s\n%s", text, err, g.out.Tail(), g.reported)
	}
}

// question is one that was asked.
type question struct {
	g    *guest
	text ask.Question
}

// begin asks and does not wait. Words are NAME=VALUE.
func (g *guest) begin(verb string, words ...string) question {
	g.t.Helper()
	g.next++
	q := ask.Question{ID: g.next, Verb: verb, Args: map[string]string{}}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		q.Args[k] = v
	}
	line := q.String() + "\n"
	if len(line) > ask.MaxLine {
		g.t.Fatalf("%s: %d bytes are too long a question", verb, len(line))
	}
	if _, err := g.keys.WriteString(line); err != nil {
		g.t.Fatal(err)
	}
	return question{g, q}
}

// answer waits for it.
func (q question) answer() ask.Answer {
	q.g.t.Helper()
	ctx, cancel := context.WithTimeout(q.g.t.Context(), patience)
	defer cancel()
	line, err := q.g.out.Line(ctx, fmt.Sprintf("@%d ", q.text.ID))
	if err != nil {
		q.g.t.Fatalf("%s: %v\n%s\n%s", q.text, err, q.g.out.Tail(), q.g.reported)
	}
	a, _, err := ask.ParseAnswer(line)
	if err != nil {
		q.g.t.Fatal(err)
	}
	return a
}

// values waits for an answer that is no error.
func (q question) values() map[string]string {
	q.g.t.Helper()
	a := q.answer()
	if a.Error != "" {
		q.g.t.Fatalf("%s: the guest answers: %s %s\n%s", q.text, a.Error, a.Errno, q.g.reported)
	}
	return a.Values
}

// asks asks, waits, and wants no error.
func (g *guest) asks(verb string, words ...string) map[string]string {
	g.t.Helper()
	return g.begin(verb, words...).values()
}

// refuses asks and wants that error of the guest's kernel.
func (g *guest) refuses(errno, verb string, words ...string) {
	g.t.Helper()
	q := g.begin(verb, words...)
	if a := q.answer(); a.Errno != errno {
		g.t.Errorf("%s: the guest says %q %q, want %s", q.text, a.Error, a.Errno, errno)
	}
}

// ends waits for the end and fails the test if it is another.
func (g *guest) ends(want mayfly.Reason) mayfly.Outcome {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	o, err := g.vm.Wait(ctx)
	if err != nil {
		g.t.Fatalf("%v\n%s\n%s", err, g.out.Tail(), g.reported)
	}
	if o.Reason != want {
		g.t.Fatalf("the guest ended: %v (%s), want: %v\n%s\n%s", o.Reason, o.Detail, want, g.out.Tail(), g.reported)
	}
	return o
}

// powersOff ends the guest.
func (g *guest) powersOff() {
	g.t.Helper()
	g.begin("poweroff")
	g.ends(mayfly.PowerOff)
}
