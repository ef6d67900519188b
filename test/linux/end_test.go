package linux

import (
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

const (
	smallKernel  = kernels.Microvm + "/" + vmlinux
	debianKernel = kernels.Debian612Cloud + "/" + vmlinux
)

// TestEnds lets guests end in each way that Linux has.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name, kernel string
		cmdline      []string
		want         mayfly.Reason
		says         string // on the console
	}{
		{"poweroff", smallKernel, []string{"mayfly.test=poweroff"}, mayfly.PowerOff, "reboot: Power down"},
		{"halt", smallKernel, []string{"mayfly.test=halt"}, mayfly.Halted, "reboot: System halted"},
		{"panic", smallKernel, []string{"mayfly.test=panic"}, mayfly.Panicked, "Attempted to kill init"},
		// With panic=0 the kernel spins for ever.
		{"panic that stays", smallKernel, []string{"mayfly.test=panic", "panic=0"}, mayfly.Panicked, "Attempted to kill init"},
		// Without ACPI there is nothing to switch the machine off: Linux stops with
		// interrupts off, and has said so.
		{"poweroff without ACPI", debianKernel, []string{"mayfly.test=poweroff", "acpi=off"}, mayfly.Halted, "reboot: "},
		{"reboot", smallKernel, []string{"mayfly.test=reboot"}, mayfly.Rebooted, "reboot: Restarting system"},
		{"reboot by keyboard controller", smallKernel, []string{"mayfly.test=reboot,kbd"}, mayfly.Rebooted, "reboot: Restarting system"},
		// A restart that announces itself is one, whatever it does in the end …
		{"reboot by triple fault", smallKernel, []string{"mayfly.test=reboot,triple"}, mayfly.Rebooted, "reboot: Restarting system"},
		// … and without a parameter it is a crash.
		{"triple fault", debianKernel, []string{"mayfly.test=sysrq,b", "reboot=triple", "sysrq_always_enabled"}, mayfly.TripleFault, "init"},
		{"panic of Debian's kernel", debianKernel, []string{"mayfly.test=sysrq,c", "sysrq_always_enabled"}, mayfly.Panicked, "sysrq triggered crash"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := start(t, mayfly.Config{Kernel: c.kernel, CPUs: 2, OnReboot: mayfly.RebootExit, Cmdline: words(append(c.cmdline, "mayfly.report=none")...)})
			o := g.ends(c.want)
			if !strings.Contains(g.out.String(), c.says) {
				t.Errorf("the console lacks %q\n%s", c.says, g.out.Tail())
			}
			if o.Reason == mayfly.TripleFault && !strings.Contains(o.Detail, "rip 0xffffffff") && !strings.Contains(o.Detail, "registers are lost") {
				t.Errorf("detail %q", o.Detail)
			}
			if o.Restarts != 0 {
				t.Errorf("%d restarts", o.Restarts)
			}
		})
	}
}

// TestRebootInPlace lets a guest restart twice. Each time it must find a machine
// like new: Linux 6.12 uses start info as a stack, and overwrites its own data.
func TestRebootInPlace(t *testing.T) {
	for _, c := range []mayfly.Config{
		{Kernel: smallKernel, CPUs: 2, Load: mayfly.LoadMap},
		{Kernel: debianKernel, CPUs: 2, Load: mayfly.LoadAuto},
	} {
		t.Run(strings.Split(c.Kernel, "/")[0], func(t *testing.T) {
			in := newKeyboard(t)
			c.Console.In, c.Cmdline = in.r, words("mayfly.test=ask")
			g := start(t, c)
			for range 2 {
				g.says("ask: ready")
				expect(t, c, g.vm.Plan(), g.report())
				g.out.Forget()
				in.types("reboot\n")
			}
			g.says("ask: ready")
			in.types("poweroff\n")
			if o := g.ends(mayfly.PowerOff); o.Restarts != 2 {
				t.Errorf("%d restarts, want 2", o.Restarts)
			}
			r := g.report()
			expect(t, c, g.vm.Plan(), r)
			if !strings.Contains(strings.SplitN(r.Dmesg, "\n", 2)[0], "Linux version") {
				t.Errorf("the log does not begin anew: %.200s", r.Dmesg)
			}
		})
	}
}

// TestPowerButton presses it. The small kernel has the driver built in, Debian's
// has it as a module.
func TestPowerButton(t *testing.T) {
	for _, cpus := range []int{1, 4} {
		t.Run(size(cpus, 256), func(t *testing.T) {
			g := start(t, mayfly.Config{Kernel: smallKernel, CPUs: cpus, Cmdline: words("mayfly.test=button", "mayfly.report=none")})
			g.says("button: ready")
			if err := g.vm.PowerButton(); err != nil {
				t.Fatal(err)
			}
			g.says("button: pressed")
			g.ends(mayfly.PowerOff)
		})
	}
}

// TestPause stops a guest of four processors while it starts, and lets it go on.
func TestPause(t *testing.T) {
	c := mayfly.Config{Kernel: smallKernel, CPUs: 4, Cmdline: words()}
	g := start(t, c)
	for range 3 {
		if err := g.vm.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.vm.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	g.ends(mayfly.PowerOff)
	expect(t, c, g.vm.Plan(), g.report())
	if _, err := report.Parse([]byte(g.out.String())); err != nil {
		t.Error(err)
	}
}
