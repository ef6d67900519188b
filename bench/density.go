package main

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

// density starts many machines at once and weighs them at their first output.
func (b *bench) density() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	// As small, but linked where most kernels are: above the frame of boot data.
	high := filepath.Join(b.dir, "high.elf")
	if err := padded(high, 4096); err != nil {
		return err
	}
	big, err := b.bigGuest()
	if err != nil {
		return err
	}
	t := &table{title: "Memory of a machine at its first output (PSS), and how long until all are there"}
	t.add("", "guest", "1 machine", "50 machines, each", "50 up in")
	for _, m := range monitor.All(b.paths) {
		if m.Name == "floor" {
			continue
		}
		for _, g := range []struct{ name, path, load string }{{"tiny", small, ""}, {"tiny, at 16 MiB", high, ""}, {"Debian vmlinux", big, ""}, {"Debian vmlinux, --load=map", big, "map"}} {
			if g.load != "" && !m.Mayfly() {
				continue
			}
			vm := monitor.Machine{Kernel: g.path, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1, Load: g.load}
			var one, each []int64
			var took []time.Duration
			for range max(1, b.runs/7) {
				p, _, err := b.crowd(m, vm, 1)
				if err != nil {
					return err
				}
				q, d, err := b.crowd(m, vm, 50)
				if err != nil {
					return err
				}
				one, each, took = append(one, p), append(each, q), append(took, d)
			}
			t.add(m.Name, g.name, mib(median(one)), mib(median(each)), fmt.Sprintf("%.2f s", median(took).Seconds()))
		}
	}
	t.print()
	return nil
}

// crowd starts n machines at once. It returns the mean PSS when all have said
// their first byte, and how long that took.
func (b *bench) crowd(m monitor.Monitor, vm monitor.Machine, n int) (int64, time.Duration, error) {
	all, errs := make([]*monitor.Started, n), make([]error, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			vm := vm
			if vm.Tap != "" {
				vm.Tap = fmt.Sprintf("tap%d", i)
			}
			all[i], errs[i] = monitor.Start(m, vm, b.dir, firstOutput, 2*time.Minute)
		}()
	}
	wg.Wait()
	took := time.Since(begin)
	var sum int64
	var err error
	for i, s := range all {
		if errs[i] != nil {
			err = errs[i]
			continue
		}
		p, perr := s.PSS()
		if sum += p; perr != nil {
			err = perr
		}
	}
	for _, s := range all {
		if s != nil {
			s.Stop()
		}
	}
	return sum / int64(n), took, err
}
