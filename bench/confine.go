package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/bench/monitor"
	guest "github.com/mayfly-vm/mayfly/guest/bench"
)

// confine shows what confinement costs: of the command, and of a machine of a Go program.
func (b *bench) confine() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	disk := filepath.Join(b.dir, "small-disk")
	if err := guest.WriteDisk(disk, 1<<20); err != nil {
		return err
	}
	devices := monitor.Devices{Disk: &monitor.Disk{Path: disk, ReadOnly: true}, Vsock: monitor.OwnSocket, RNG: true}
	var list []*contender
	for _, mode := range []string{"off", "on"} {
		m := only(monitor.All(b.paths), func(m monitor.Monitor) bool { return m.Name == "mayfly" })[0]
		args := m.Args
		m.Args = func(vm monitor.Machine, dir string) ([]string, error) {
			a, err := args(vm, dir)
			return append(a, "--confine="+mode), err
		}
		for _, d := range []monitor.Devices{{}, devices} {
			list = append(list, &contender{name: "mayfly run --confine=" + mode, m: m, vm: monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1, Devices: d}})
		}
	}
	b.race(list)
	t := &table{title: "What confinement costs: process start to first guest output (tiny guest), and memory of each of 50 machines (PSS)"}
	t.add("", "no device", "disk, vsock, rng", "memory", "memory")
	for i := 0; i < len(list); i += 2 {
		cells := []string{list[i].name, list[i].figure(), list[i+1].figure()}
		for _, c := range list[i : i+2] {
			p, _, err := b.crowd(c.m, c.vm, crowdSize)
			if err != nil {
				return err
			}
			cells = append(cells, mib(p))
		}
		t.add(cells...)
	}
	t.print()
	return b.spawn(small)
}

// machine is a machine in this process, or in one of its own.
type machine interface {
	Start(context.Context) error
	Close() error
}

// spawn compares machines of New with those of Spawn.
func (b *bench) spawn(kernel string) error {
	if err := os.Setenv("PATH", b.dir+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil { // for mayfly-machine
		return err
	}
	ways := []struct {
		name string
		open func(mayfly.Config) (machine, error)
		took []time.Duration
	}{
		{name: "mayfly.New", open: func(c mayfly.Config) (machine, error) { return mayfly.New(c) }},
		{name: "mayfly.Spawn", open: func(c mayfly.Config) (machine, error) { return mayfly.Spawn(c) }},
	}
	for range b.runs {
		for _, i := range rand.Perm(len(ways)) {
			d, err := startHere(kernel, ways[i].open)
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i].name, err)
			}
			ways[i].took = append(ways[i].took, d)
		}
	}
	t := &table{title: "A machine of a Go program: from the call to first guest output (tiny guest)"}
	t.add("", "")
	for _, w := range ways {
		t.add(w.name, ms(median(w.took)))
	}
	t.print()
	return nil
}

// startHere times a machine of this program until its first output.
func startHere(kernel string, open func(mayfly.Config) (machine, error)) (time.Duration, error) {
	said := &firstWrite{done: make(chan struct{})}
	begin := time.Now()
	m, err := open(mayfly.Config{Kernel: kernel, Console: mayfly.Console{Out: said}})
	if err != nil {
		return 0, err
	}
	defer m.Close()
	if err := m.Start(context.Background()); err != nil {
		return 0, err
	}
	select {
	case <-said.done:
		return said.at.Sub(begin), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("no %q in %v", firstOutput, patience)
	}
}

// firstWrite is told when the guest has said its first byte.
type firstWrite struct {
	once sync.Once
	at   time.Time
	done chan struct{}
}

func (f *firstWrite) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(firstOutput)) {
		f.once.Do(func() { f.at = time.Now(); close(f.done) })
	}
	return len(p), nil
}
