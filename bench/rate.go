package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

const (
	atOnce       = 32
	startsARound = 320
)

// rate starts many machines, atOnce at any time, each killed at its first output:
// what a host's processors give when they have nothing else to do.
func (b *bench) rate() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	vm := monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1}
	list := monitor.All(b.paths)
	took, used := make([][]time.Duration, len(list)), make([][]time.Duration, len(list))
	for range max(3, b.runs/3) {
		for _, i := range rand.Perm(len(list)) {
			d, u, err := b.startMany(list[i], vm)
			if err != nil {
				return err
			}
			took[i], used[i] = append(took[i], d), append(used[i], u)
		}
	}
	t := &table{title: fmt.Sprintf("Starts at saturation (tiny guest, %d at once, each killed at its first output)", atOnce)}
	t.add("", "starts a second", "x firecracker", "processor time of each")
	var firecracker time.Duration
	for i, m := range list {
		if m.Name == "firecracker" {
			firecracker = median(took[i])
		}
	}
	for i, m := range list {
		d := median(took[i])
		t.add(m.Name, fmt.Sprintf("%.0f", startsARound/d.Seconds()), ratio(firecracker, d), ms(median(used[i])))
	}
	t.print()
	return nil
}

// startMany makes startsARound starts. It returns how long they took together, and the
// processor time of a process, from fork to exit, in the mean.
func (b *bench) startMany(m monitor.Monitor, vm monitor.Machine) (took, each time.Duration, err error) {
	var left, used atomic.Int64
	left.Store(startsARound)
	var failed sync.Once
	var wg sync.WaitGroup
	begin := time.Now()
	for range atOnce {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				s, serr := monitor.Start(m, vm, b.dir, firstOutput, 2*time.Minute)
				if serr != nil {
					failed.Do(func() { err = serr })
					return
				}
				s.Stop()
				used.Add(int64(s.ProcessorTime()))
			}
		})
	}
	wg.Wait()
	return time.Since(begin), time.Duration(used.Load() / startsARound), err
}
