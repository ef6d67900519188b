package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/guest/tiny"
	"github.com/mayfly-vm/mayfly/kernel"
	_ "github.com/mayfly-vm/mayfly/kernel/unpack"
)

const (
	firstOutput = string(rune(tiny.Mark))
	patience    = 20 * time.Second
)

// contender is a row of a start table: a monitor and what it is asked to start.
type contender struct {
	name string
	m    monitor.Monitor
	vm   monitor.Machine
	took []time.Duration
	err  error
}

// race times the contenders in turn, so that a noisy moment hits all alike, and
// each time in another order, so that no one always comes after the slowest.
func (b *bench) race(list []*contender) {
	for range b.runs {
		for _, i := range rand.Perm(len(list)) {
			c := list[i]
			if c.err != nil {
				continue
			}
			s, err := monitor.Start(c.m, c.vm, b.dir, firstOutput, patience)
			if err != nil {
				c.err = err
				continue
			}
			c.took = append(c.took, s.Took)
			s.Stop()
		}
	}
}

func (c *contender) figure() string {
	if c.err != nil {
		return "failed: " + c.err.Error()
	}
	return ms(median(c.took))
}

// tinyGuest writes the tiny guest to a file.
func (b *bench) tinyGuest() (string, error) {
	p := filepath.Join(b.dir, "tiny.elf")
	return p, os.WriteFile(p, tiny.ELF, 0o600)
}

// bigGuest is a distribution's kernel, unpacked, that prints at its entry.
func (b *bench) bigGuest() (string, error) {
	p := filepath.Join(b.dir, "big.elf")
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	from, err := debianKernel("6.1-cloud")
	if err != nil {
		return "", err
	}
	im, err := kernel.Open(from, kernel.Options{})
	if err != nil {
		return "", err
	}
	defer im.Close()
	return p, tiny.PatchEntry(fmt.Sprintf("/proc/self/fd/%d", im.File.Fd()), p)
}

func (b *bench) start() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	big, err := b.bigGuest()
	if err != nil {
		return err
	}
	guests := []struct{ name, path string }{{"tiny guest", small}, {"Debian vmlinux", big}}
	var all []*contender
	rows := map[string][2]*contender{}
	var names []string
	for gi, g := range guests {
		for _, m := range monitor.All(b.paths) {
			loads := []string{""}
			if m.Mayfly() {
				loads = []string{"auto", "map", "copy"}
			}
			for _, l := range loads {
				c := &contender{name: m.Name, m: m, vm: monitor.Machine{Kernel: g.path, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1, Load: l}}
				if l != "" {
					c.name += " --load=" + l
				}
				if _, ok := rows[c.name]; !ok {
					names = append(names, c.name)
				}
				r := rows[c.name]
				r[gi] = c
				rows[c.name] = r
				all = append(all, c)
			}
		}
	}
	b.race(all)
	t := &table{title: "Process start to first guest output (256 MiB, 1 CPU)"}
	t.add("", guests[0].name, "x floor", guests[1].name, "x floor")
	for _, n := range names {
		r, f := rows[n], rows["floor"]
		cells := []string{n}
		for i := range guests {
			cells = append(cells, r[i].figure(), ratio(median(r[i].took), floorOf(f[i])))
		}
		t.add(cells...)
	}
	t.print()
	return nil
}

func floorOf(c *contender) time.Duration {
	if c == nil {
		return 0
	}
	return median(c.took)
}
