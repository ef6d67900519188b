package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// result is what bench/inside prints for one start.
type result struct {
	Monitor, Kernel string
	Seconds         float64
	Exits           uint64
	Kinds           map[string]uint64
	PSS             int64
	Error           string
}

func debianKernel(name string) (string, error) {
	k, err := kernels.Get(context.Background(), "debian-"+name, os.Stderr)
	return k.Vmlinuz(), err
}

// nest compares the monitors on Linux's own KVM, up to init.
func (b *bench) nest() error {
	ctx := context.Background()
	job, err := b.insideJob(ctx)
	if err != nil {
		return err
	}
	runs := fmt.Sprint(max(3, b.runs/4))
	for _, thp := range []string{"always", "madvise"} {
		j := job
		j.THP = thp
		j.Args = append([]string{"-runs", runs, "-load", "auto,map,copy"}, j.Args...)
		if err := b.nestTable(ctx, j, fmt.Sprintf("Exec to the first line of init, on Linux's KVM, huge pages %q (256 MiB, 1 CPU)", thp)); err != nil {
			return err
		}
	}
	j := job
	j.THP = "always"
	j.Args = append([]string{"-runs", "1", "-crowd", "20", "-load", "auto,map,copy"}, slices.DeleteFunc(slices.Clone(job.Args), func(a string) bool {
		return strings.HasPrefix(a, "qemu=")
	})...)
	return b.nestTable(ctx, j, "The same, 20 machines one after another and all kept (means; exits of all)")
}

// nestOld is nest on a host whose KVM has no KVM_PRE_FAULT_MEMORY, which came with
// Linux 6.12.
func (b *bench) nestOld() error {
	ctx := context.Background()
	j, err := b.insideJob(ctx)
	if err != nil {
		return err
	}
	j.HostKernel, j.THP = kernels.Debian61Cloud, "always"
	j.Args = append([]string{"-runs", fmt.Sprint(max(3, b.runs/4)), "-load", "auto,copy"}, j.Args...)
	return b.nestTable(ctx, j, "Exec to the first line of init, on the KVM of Linux 6.1, huge pages \"always\" (256 MiB, 1 CPU)")
}

func (b *bench) insideJob(ctx context.Context) (lab.Job, error) {
	job := lab.Job{Files: map[string]string{}, Timeout: 40 * time.Minute, Memory: 6144}
	var err error
	if job.Program, err = lab.Build(ctx, "./bench/inside"); err != nil {
		return job, err
	}
	for _, name := range []string{"mayfly", monitor.Before, "firecracker", "cloud-hypervisor"} {
		if p := b.paths[name]; p != "" {
			job.Files[name] = p
			job.Args = append(job.Args, name+"=./"+name)
			addLibraries(job.Files, p)
		}
	}
	for name, k := range map[string]string{"microvm": kernels.Microvm, "debian": kernels.Debian61Cloud} {
		got, err := kernels.Get(ctx, k, os.Stderr)
		if err != nil {
			return job, err
		}
		job.Files[name] = got.Vmlinux()
	}
	job.Args = append(job.Args, "microvm", "debian")
	init, err := lab.BuildInit(ctx)
	if err != nil {
		return job, err
	}
	b0, err := os.ReadFile(init)
	if err != nil {
		return job, err
	}
	initrd := filepath.Join(b.dir, "nest-initrd")
	job.Files["initrd"] = initrd
	return job, os.WriteFile(initrd, lab.Initramfs(map[string][]byte{"init": b0}), 0o600)
}

// addLibraries adds the shared libraries that a peer was linked with.
func addLibraries(files map[string]string, program string) {
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		return // a static program
	}
	for _, line := range strings.Split(string(out), "\n") {
		for _, w := range strings.Fields(line) {
			if strings.HasPrefix(w, "/") {
				files[w] = w
			}
		}
	}
}

func (b *bench) nestTable(ctx context.Context, job lab.Job, title string) error {
	res, err := lab.Run(ctx, job)
	if err != nil {
		return err
	}
	type row struct {
		seconds []float64
		exits   []int64
		pss     []int64
		kinds   map[string]uint64
	}
	rows := map[[2]string]*row{}
	var names []string
	for s := bufio.NewScanner(bytes.NewReader(res.Output)); s.Scan(); {
		var r result
		if json.Unmarshal(s.Bytes(), &r) != nil {
			fmt.Fprintln(os.Stderr, s.Text())
			continue
		}
		if r.Error != "" {
			fmt.Fprintf(os.Stderr, "%s, %s: %s\n", r.Monitor, r.Kernel, r.Error)
			continue
		}
		k := [2]string{r.Monitor, r.Kernel}
		if rows[k] == nil {
			rows[k] = &row{}
		}
		if !slices.Contains(names, r.Monitor) {
			names = append(names, r.Monitor)
		}
		rows[k].seconds = append(rows[k].seconds, r.Seconds)
		rows[k].exits = append(rows[k].exits, int64(r.Exits))
		rows[k].pss = append(rows[k].pss, r.PSS)
		rows[k].kinds = r.Kinds
	}
	slices.SortFunc(names, oursFirst) // they come in the order of the first runs
	for _, kernel := range []string{"microvm", "debian"} {
		t := &table{title: title + ": " + kernel}
		t.add("", "time", "x Firecracker", "exits", "x", "PSS", "x", "exits by kind (last run)")
		fc := rows[[2]string{"firecracker", kernel}]
		for _, n := range names {
			r := rows[[2]string{n, kernel}]
			if r == nil {
				continue
			}
			rel := func(a, b float64) string {
				if fc == nil || b == 0 {
					return "-"
				}
				return fmt.Sprintf("%.2f", a/b)
			}
			var ft, fe, fp float64
			if fc != nil {
				ft, fe, fp = median(fc.seconds), float64(median(fc.exits)), float64(median(fc.pss))
			}
			t.add(n, fmt.Sprintf("%.2f s", median(r.seconds)), rel(median(r.seconds), ft), fmt.Sprint(median(r.exits)), rel(float64(median(r.exits)), fe),
				mib(median(r.pss)), rel(float64(median(r.pss)), fp), byKind(r.kinds))
		}
		t.print()
	}
	return nil
}

// oursFirst orders the rows of a table.
func oursFirst(a, b string) int {
	ours := func(name string) int { return len(strings.TrimPrefix(name, "mayfly")) - len(name) }
	return cmp.Or(cmp.Compare(ours(a), ours(b)), cmp.Compare(a, b))
}

func byKind(kinds map[string]uint64) string {
	var names []string
	for k := range kinds {
		names = append(names, k)
	}
	slices.SortFunc(names, func(a, b string) int { return int(kinds[b]) - int(kinds[a]) })
	for i, n := range names {
		names[i] = fmt.Sprintf("%s %d", exitName(n), kinds[n])
	}
	return strings.Join(names[:min(8, len(names))], ", ")
}

// exitName names an exit that the histogram has as a number: the nest's are
// AMD's (arch/x86/include/uapi/asm/svm.h).
func exitName(s string) string {
	names := map[string]string{"96": "intr", "100": "vintr", "114": "cpuid", "120": "hlt", "123": "io", "124": "msr", "129": "vmmcall", "1024": "npf"}
	if n, ok := names[s]; ok {
		return n
	}
	return s
}
