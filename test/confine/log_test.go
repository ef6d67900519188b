// Package confine runs confined machines of Linux on kernels of the host old and new.
package confine

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// A Linux with every kind of device makes its monitor do nothing that the confinement does not
// allow: under --confine=log there is no line, and under --confine=on it lives to its end.
func TestLinuxWithAllDevices(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: starts machines")
	}
	ctx := t.Context()
	job := lab.Job{Files: map[string]string{}, Modules: []string{"tun", "vhost_net", "vhost_vsock"}, Collect: []string{"stats"}, Timeout: 5 * time.Minute, Nest: true}
	var err error
	if job.Program, err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/mayfly"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mayfly-broker", "mayfly-usernet", "mayfly-syscalls"} {
		if job.Files[name], err = lab.Build(ctx, "github.com/mayfly-vm/mayfly/cmd/"+name); err != nil {
			t.Fatal(err)
		}
	}
	kernel, err := kernels.Get(ctx, kernels.Microvm, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	init, err := lab.Build(ctx, "github.com/mayfly-vm/mayfly/guest/testinit")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	initrd, disk := filepath.Join(dir, "initrd"), filepath.Join(dir, "disk")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disk, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two", "three"} {
		job.Files[name] = disk
	}
	job.Files["vmlinux"], job.Files["initrd"] = kernel.Vmlinux(), initrd
	devices := strings.Fields("--disk one,readonly --disk two,readonly,engine=threads --disk three,readonly,engine=uring --net tap=t0,vhost=on --net tap=t1,vhost=off --net user" +
		" --vsock path=v --rng --console socket=c --console file=out,name=log --console pty=tty,name=tty --watchdog --timeline boot.json")
	for _, c := range []struct {
		kernel, mode, landlock string
		more                   []string
	}{
		{kernels.Debian61Cloud, "log", "landlock 2", []string{"--bus", "mmio"}},
		{kernels.Debian61Cloud, "on", "landlock 2", []string{"--bus", "pci", "--cpus", "2"}},
		{"", "log", "landlock", []string{"--bus", "pci", "--cpus", "2"}},
	} {
		t.Run(strings.TrimSpace(c.kernel+" "+c.mode), func(t *testing.T) {
			j := job
			var out, errs bytes.Buffer
			j.HostKernel, j.Stdout, j.Stderr = c.kernel, &out, &errs
			j.Args = slices.Concat([]string{"run", "vmlinux", "--initrd", "initrd", "--confine=" + c.mode, "--on-reboot", "exit", "--stats", "stats",
				"--cmdline", "quiet nohz=off mayfly.report=none"}, devices, c.more)
			r, err := lab.Run(t.Context(), j)
			if err != nil || r.ExitCode != 0 {
				t.Fatalf("%v, exit code %d\n%s\n%s", err, r.ExitCode, &out, &errs)
			}
			if strings.Contains(errs.String(), "confinement") {
				t.Errorf("%s", &errs)
			}
			var stats struct {
				Devices     []any
				Confinement []string
			}
			if err := json.Unmarshal(r.Files["stats"], &stats); err != nil {
				t.Fatal(err)
			}
			if len(stats.Devices) != 9 || len(stats.Confinement) != 3 || !strings.HasPrefix(stats.Confinement[0], c.landlock) {
				t.Errorf("%s", r.Files["stats"])
			}
		})
	}
}
