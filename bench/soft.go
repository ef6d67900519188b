package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/guest/compute"
	"github.com/mayfly-vm/mayfly/lab"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// softRAM is the memory of the machines on a processor in software, in MiB, and softPatience how long a boot may take.
const (
	softRAM      = 256
	softPatience = 3 * time.Minute
)

// soft compares the software processor with QEMU's, TCG.
func (b *bench) soft() error {
	for _, table := range []func() error{b.softBoots, b.softShare, b.softSpeed} {
		if err := table(); err != nil {
			return err
		}
	}
	return nil
}

// columns are the titles of a column for each of the monitors.
func columns(ways []monitor.Monitor, suffix string) (titles []string) {
	for _, m := range ways {
		titles = append(titles, m.Name+suffix)
	}
	return titles
}

// softRuns is how often what takes seconds is measured.
func (b *bench) softRuns() int { return max(3, b.runs/4) }

// softBoots times Linux up to the first line of its init, and weighs the monitor there.
func (b *bench) softBoots() error {
	ctx := context.Background()
	init, err := lab.BuildInit(ctx)
	if err != nil {
		return err
	}
	initrd := filepath.Join(b.dir, "soft-initrd")
	if err := lab.WriteInitramfsFile(initrd, []lab.Entry{{Name: "init", Host: init}}); err != nil {
		return err
	}
	names := []string{kernels.Microvm, kernels.Debian61Cloud, kernels.Debian612Cloud}
	ways := monitor.Software(b.paths, b.khz)
	took, beyond := map[[2]string][]time.Duration{}, map[[2]string][]int64{}
	for range b.softRuns() {
		for _, i := range rand.Perm(len(names) * len(ways)) {
			name, m := names[i/len(ways)], ways[i%len(ways)]
			k, err := kernels.Get(ctx, name, os.Stderr)
			if err != nil {
				return err
			}
			cmdline := strings.Join([]string{mayfly.DefaultCmdline(mayfly.BusMMIO), "quiet", m.Linux, "-- stay"}, " ")
			s, err := monitor.Start(m, monitor.Machine{Kernel: k.Vmlinux(), Initrd: initrd, Cmdline: cmdline, MiB: softRAM, CPUs: 1}, b.dir, "init", softPatience)
			if err != nil {
				return err
			}
			more, err := s.Beyond(softRAM)
			s.Stop()
			if err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			key := [2]string{name, m.Name}
			took[key], beyond[key] = append(took[key], s.Took), append(beyond[key], more)
		}
	}
	t := &table{title: fmt.Sprintf("Linux on a processor in software: exec to the first line of init (%d MiB, 1 CPU; QEMU's -M microvm -cpu %s, which has the software processor's features), and memory beyond the guest's (PSS)",
		softRAM, monitor.TCGProcessor)}
	t.add(slices.Concat([]string{""}, columns(ways, ""), columns(ways, ", memory"))...)
	for _, name := range names {
		cells := []string{name}
		for _, m := range ways {
			cells = append(cells, fmt.Sprintf("%.2f s", median(took[[2]string{name, m.Name}]).Seconds()))
		}
		for _, m := range ways {
			cells = append(cells, mib(median(beyond[[2]string{name, m.Name}])))
		}
		t.add(cells...)
	}
	t.print()
	return nil
}

// softShare times the monitor's own part of a start, as one thing grows.
func (b *bench) softShare() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	initrds := map[int]string{}
	for _, n := range []int{1, 64} {
		initrds[n] = filepath.Join(b.dir, fmt.Sprintf("initrd%d", n))
		if err := os.WriteFile(initrds[n], make([]byte, n<<20), 0o600); err != nil {
			return err
		}
	}
	ways := monitor.Software(b.paths, b.khz)
	t := &table{title: "A start on a processor in software, up to the guest's first instructions (tiny guest, to its first output)"}
	t.add(append([]string{"memory", "initrd"}, columns(ways, "")...)...)
	var list []*contender
	machines := []monitor.Machine{{MiB: 64}, {MiB: softRAM}, {MiB: 4096}, {MiB: softRAM, Initrd: initrds[1]}, {MiB: softRAM, Initrd: initrds[64]}}
	for _, vm := range machines {
		for _, m := range ways {
			vm.Kernel, vm.Cmdline, vm.CPUs = small, "console=ttyS0", 1
			list = append(list, &contender{name: m.Name, m: m, vm: vm})
		}
	}
	b.race(list)
	for i, vm := range machines {
		cells := []string{fmt.Sprintf("%d MiB", vm.MiB), "none"}
		for n, path := range initrds {
			if vm.Initrd == path {
				cells[1] = fmt.Sprintf("%d MiB", n)
			}
		}
		for _, c := range list[i*len(ways) : (i+1)*len(ways)] {
			cells = append(cells, c.figure())
		}
		t.add(cells...)
	}
	t.print()
	return nil
}

// softSpeed counts the instructions that are executed in a second.
func (b *bench) softSpeed() error {
	kernel := filepath.Join(b.dir, "compute.elf")
	if err := os.WriteFile(kernel, compute.ELF, 0o600); err != nil {
		return err
	}
	ways := monitor.Software(b.paths, b.khz)
	speed := map[[2]string][]float64{}
	for range b.softRuns() {
		for _, i := range rand.Perm(len(ways)) {
			if err := b.compute(ways[i], kernel, speed); err != nil {
				return err
			}
		}
	}
	t := &table{title: "Million instructions a second (compute guest; integer: the geometric mean of those with general registers only)"}
	t.add(append([]string{""}, columns(ways, "")...)...)
	means := make([]float64, len(ways))
	integers := 0
	for _, c := range compute.All {
		cells := []string{c.Name}
		for i, m := range ways {
			v := median(speed[[2]string{c.Name, m.Name}])
			cells = append(cells, fmt.Sprintf("%.0f", v))
			if c.Integer {
				means[i] += math.Log(v)
			}
		}
		if c.Integer {
			integers++
		}
		t.add(cells...)
	}
	cells := []string{"integer"}
	for _, v := range means {
		cells = append(cells, fmt.Sprintf("%.0f", math.Exp(v/float64(integers))))
	}
	t.add(cells...)
	t.print()
	return nil
}

// compute runs each computation once. It is timed by when its lines arrive: what is printed between takes far less.
func (b *bench) compute(m monitor.Monitor, kernel string, speed map[[2]string][]float64) error {
	var orders []string
	for _, c := range compute.All {
		orders = append(orders, c.Order(1))
	}
	vm := monitor.Machine{Kernel: kernel, Cmdline: strings.Join(orders, " "), MiB: softRAM, CPUs: 1}
	var begin time.Time
	n, wrong := 0, ""
	err := monitor.Run(m, vm, b.dir, softPatience, func(line string) bool {
		c := compute.All[min(n, len(compute.All)-1)]
		switch {
		case strings.HasPrefix(line, "begin="+c.Name):
			begin = time.Now()
		case strings.HasPrefix(line, fmt.Sprintf("result=%s value=%x ", c.Name, c.Value)):
			key := [2]string{c.Name, m.Name}
			speed[key] = append(speed[key], float64(c.Instructions)/time.Since(begin).Seconds()/1e6)
			n++
		default:
			wrong = line
		}
		return n == len(compute.All) || wrong != ""
	})
	if err == nil && wrong != "" {
		err = fmt.Errorf("%s printed %q", m.Name, wrong)
	}
	return err
}
