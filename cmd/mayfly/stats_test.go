package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// A machine that runs on writes its counters each second, and a last time when it is killed.
func TestStatsWhileTheMachineRuns(t *testing.T) {
	machinetest.NeedKVM(t)
	dir := t.TempDir()
	elf, fifo := filepath.Join(dir, "check.elf"), filepath.Join(dir, "fifo")
	if err := os.WriteFile(elf, check.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(fifo, os.O_RDWR, 0) // a writer too: opening doesn't wait
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program, err := exec.LookPath(flags.Name) // testscript.Main puts this test there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "run", "-q", elf, "--cmdline", check.Cmdline(check.Options{NoChecks: true, Echo: true}), "--stats", fifo+",every=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewReader(r)
	next := func() (s mayfly.Stats) {
		t.Helper()
		line, err := lines.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &s)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		return s
	}
	first, second := next(), next()
	if first.State != mayfly.StateRunning || second.State != mayfly.StateRunning || second.Uptime <= first.Uptime || len(first.Exits) == 0 {
		t.Errorf("while it runs: %+v, then %+v", first, second)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	last := next()
	for last.State == mayfly.StateRunning { // one that was written meanwhile
		last = next()
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exit.Signal+1 {
		t.Errorf("exit code %d", code)
	}
}
