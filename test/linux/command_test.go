package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// run runs the command to its end, without a terminal.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	program, err := filepath.Abs(programBin)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--cpu="+*processor)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("mayfly %s: %v\n%s\n%s", strings.Join(args, " "), ctx.Err(), o.String(), e.String())
	}
	return cmd.ProcessState.ExitCode(), strings.ReplaceAll(o.String(), "\r", ""), e.String()
}

// TestExitCodes holds "mayfly run" to what it documents.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		test   string
		kernel string
		args   []string
		code   int
		stderr string
	}{
		{"poweroff", smallKernel, nil, 0, "mayfly: the guest powered off\n"},
		{"halt", smallKernel, nil, 0, "mayfly: the guest halted"},
		{"reboot", smallKernel, []string{"--on-reboot=exit"}, 0, "mayfly: the guest rebooted"},
		{"panic", smallKernel, nil, 3, "mayfly: the guest's kernel panicked"},
		{"sysrq,b", debianKernel, []string{"--cmdline", "reboot=triple sysrq_always_enabled"}, 4, "mayfly: the guest crashed"},
		{"poweroff", kernels.MicrovmNoPVH + "/" + vmlinuz, []string{"--boot=linux", "--cpus=2", "--cache-dir", scratch, "--quiet"}, 0, ""},
	} {
		t.Run(c.test, func(t *testing.T) {
			if slices.Contains(c.args, "--cpus=2") {
				needsCPUs(t, 2)
			}
			args := append([]string{"run", c.kernel, "--initrd", initrdFile, "--cmdline", "quiet mayfly.report=none mayfly.test=" + c.test}, c.args...)
			code, stdout, stderr := run(t, args...)
			if code != c.code || !strings.HasPrefix(stderr, c.stderr) || c.stderr == "" && stderr != "" {
				t.Errorf("exit code %d, want %d; standard error %q, want %q", code, c.code, stderr, c.stderr)
			}
			if !strings.Contains(stdout, "init\n") {
				t.Errorf("standard output %q", stdout)
			}
		})
	}
}

// TestKernelWithoutPVHByCommand asks for PVH where there is none.
func TestKernelWithoutPVHByCommand(t *testing.T) {
	code, stdout, stderr := run(t, "run", kernels.MicrovmNoPVH+"/"+vmlinux, "--boot=pvh")
	if code != 1 || stdout != "" || !strings.Contains(stderr, "CONFIG_PVH=y") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, output %q, %q", code, stdout, stderr)
	}
}

// TestSignalPressesPowerButton ends a guest by SIGTERM: it receives the button's event and
// powers off.
func TestSignalPressesPowerButton(t *testing.T) {
	program, err := filepath.Abs(programBin)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "run", smallKernel, "--cpu="+*processor, "--initrd", initrdFile, "--cmdline", "quiet mayfly.report=none mayfly.test=button "+steadyTick())
	out := new(machinetest.Output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := out.Wait(ctx, "button: ready\n"); err != nil {
		cmd.Process.Kill()
		t.Fatalf("%v\n%s", err, out.Tail())
	}
	cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "button: pressed\n") {
		t.Errorf("%v\n%s", err, out.Tail())
	}
}

// TestTimeline checks where the time went: the kernel's own marks and the
// exits are there.
func TestTimeline(t *testing.T) {
	needsCPUs(t, 2)
	file := filepath.Join(t.TempDir(), "boot.json")
	if code, _, stderr := run(t, "run", smallKernel, "--initrd", initrdFile, "--cpus=2", "--timeline", file, "--cmdline", "mayfly.report=none "+steadyTick()); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(b) {
		t.Fatalf("no JSON: %.300s", b)
	}
	for _, want := range []string{"first guest instruction", "run /init", "end: powered off", "port out"} {
		if !strings.Contains(strings.ToLower(string(b)), want) {
			t.Errorf("the timeline lacks %q", want)
		}
	}
}

// TestCheckByCommand runs "mayfly check".
func TestCheckByCommand(t *testing.T) {
	needsKVM(t, "is not what mayfly check is about")
	for _, cpus := range []string{"1", "4"} {
		code, stdout, stderr := run(t, "check", "--cpus", cpus)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "are as they must be") || strings.Contains(stdout, "FAIL") {
			t.Errorf("%s CPUs: exit code %d\n%s%s", cpus, code, stdout, stderr)
		}
	}
}
