package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

// softOnKVM compares starts on KVM with those of a version before, which need not have had a software processor:
// what is linked in costs them too.
func (b *bench) softOnKVM() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	ways := only(monitor.All(b.paths), monitor.Monitor.Mayfly)
	if len(ways) < 2 {
		fmt.Println("(no MAYFLY_BENCH_BEFORE: what a start on KVM pays is left out)")
		return nil
	}
	vm := monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1}
	took, faults, pss := map[string][]time.Duration{}, map[string][]int64{}, map[string][]int64{}
	for range b.runs {
		for _, i := range rand.Perm(len(ways)) {
			m := ways[i]
			s, err := monitor.Start(m, vm, b.dir, firstOutput, patience)
			if err != nil {
				return err
			}
			s.Stop()
			took[m.Name], faults[m.Name] = append(took[m.Name], s.Took), append(faults[m.Name], s.Faults())
		}
	}
	for range b.softRuns() {
		for _, i := range rand.Perm(len(ways)) {
			p, _, err := b.crowd(ways[i], vm, crowdSize)
			if err != nil {
				return err
			}
			pss[ways[i].Name] = append(pss[ways[i].Name], p)
		}
	}
	t := &table{title: fmt.Sprintf("What a start on KVM pays for the software processor (tiny guest, to its first output; memory of each of %d machines, PSS)", crowdSize)}
	t.add("", "start", "page faults", "memory")
	for _, m := range ways {
		t.add(m.Name, ms(median(took[m.Name])), fmt.Sprint(median(faults[m.Name])), mib(median(pss[m.Name])))
	}
	now, before := ways[0].Name, ways[1].Name
	t.add("x "+before, ratio(median(took[now]), median(took[before])), fmt.Sprintf("%.2f", float64(median(faults[now]))/float64(median(faults[before]))),
		fmt.Sprintf("%.2f", float64(median(pss[now]))/float64(median(pss[before]))))
	t.print()
	return nil
}
