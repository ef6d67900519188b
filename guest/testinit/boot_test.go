package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/testinit/report"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// boot boots the small kernel with an init under QEMU's emulation, without any
// KVM, and returns the console.
func boot(t *testing.T, init, cmdline string, input string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a machine")
	}
	k, err := kernels.Get(t.Context(), kernels.Microvm, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}, {Name: "extra", Data: []byte("extra")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "192", "-smp", "2", "-no-reboot",
		"-kernel", k.Vmlinux(), "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1 "+cmdline, "-serial", "stdio")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &console{typeOn: "ready", input: input, guest: stdin}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v (%v)\n%s", err, ctx.Err(), out.all.Bytes())
	}
	return strings.ReplaceAll(out.all.String(), "\r", "")
}

// console keeps what the guest writes, and types when the guest is ready.
type console struct {
	all    bytes.Buffer
	typeOn string
	input  string
	guest  io.Writer
}

func (c *console) Write(p []byte) (int, error) {
	c.all.Write(p)
	if c.input != "" && bytes.Contains(c.all.Bytes(), []byte(c.typeOn)) {
		io.WriteString(c.guest, c.input)
		c.input = ""
	}
	return len(p), nil
}

func testinit(t *testing.T) string {
	p, err := lab.Build(t.Context(), "github.com/mayfly-vm/mayfly/guest/testinit")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReportTellsOfTheMachine(t *testing.T) {
	console := boot(t, testinit(t), "mayfly.test=touch,8", "")
	r, err := report.Parse([]byte(console))
	if err != nil {
		t.Fatalf("%v\n%s", err, console)
	}
	if len(r.Errors) > 0 {
		t.Errorf("could not read: %q", r.Errors)
	}
	if !strings.Contains(r.Cmdline, "mayfly.test=touch,8") || r.Online != "0-1" || len(r.CPUs) != 2 || !r.CPUs[0].Ran || !r.CPUs[1].Ran {
		t.Errorf("command line %q, online %q, CPUs %+v", r.Cmdline, r.Online, r.CPUs)
	}
	if r.MemTotal < 128<<20 || r.MemTotal > 192<<20 || len(r.SystemRAM) == 0 || len(r.Firmware) == 0 || len(r.ACPITables) == 0 {
		t.Errorf("memory %d, RAM %x, map %+v, tables %q", r.MemTotal, r.SystemRAM, r.Firmware, r.ACPITables)
	}
	if !strings.Contains(r.Dmesg, "Linux version 6.12") || r.Clocksource == "" || !strings.Contains(r.Interrupts, "CPU1") {
		t.Errorf("clocksource %q, interrupts %q, log %q", r.Clocksource, r.Interrupts, r.Dmesg)
	}
	names := map[string]int64{}
	for _, f := range r.Files {
		names[f.Name] = f.Size
	}
	if names["extra"] != 5 || names["init"] == 0 {
		t.Errorf("files %+v", r.Files)
	}
	if !strings.Contains(console, "\ntouch: 8 MiB hold what was written\n") {
		t.Errorf("memory was not touched:\n%s", console)
	}
	t.Logf("report after %.2f s; loader type %s", r.Uptime, r.LoaderType)
}

func TestActions(t *testing.T) {
	bin := testinit(t)
	for word, c := range map[string]struct{ input, want string }{
		"echo":        {"one\ntwo\nquit\n", "echo: ready\necho: one\necho: two\necho: done\n"},
		"flood,8":     {"", "\n00000127 " + strings.Repeat(string(rune('a'+127%26)), 54) + "\nflood: end\n"},
		"panic":       {"", "Attempted to kill init"},
		"reboot":      {"", "reboot: Restarting system"},
		"triplefault": {"", "reboot: Restarting system"},
		"reboot,kbd":  {"", "reboot: Restarting system"},
		"nonsense":    {"", "no such word"},
	} {
		t.Run(word, func(t *testing.T) {
			got := boot(t, bin, "mayfly.report=none mayfly.test="+word, c.input)
			if !strings.Contains(got, "init\n") || !strings.Contains(got, c.want) {
				t.Errorf("console:\n%s", got)
			}
		})
	}
}

func TestSmallestInit(t *testing.T) {
	bin, err := lab.BuildInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(bin); err != nil || st.Size() > 4096 {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	for args, want := range map[string]string{"": "Power down", "-- mark": "Power down", "-- reboot": "Restarting system"} {
		if got := boot(t, bin, args, ""); !strings.HasSuffix(got, "init\nreboot: "+want+"\n") {
			t.Errorf("%q: console:\n%s", args, got)
		}
	}
}
