package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	guest "github.com/mayfly-vm/mayfly/guest/bench"
)

// crowdSize is how many machines are weighed at once.
const crowdSize = 50

// deviceStart shows what devices add to a start and to a machine's weight.
func (b *bench) deviceStart() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	disk := filepath.Join(b.dir, "small-disk")
	if err := guest.WriteDisk(disk, 1<<20); err != nil {
		return err
	}
	w, err := newNetwork(crowdSize)
	if err != nil {
		fmt.Printf("\n(no network here, the rows of starts with devices are left out: %v)\n", err)
		return nil
	}
	defer w.close()
	d := &monitor.Disk{Path: disk, ReadOnly: true} // shared by many
	all := monitor.Devices{Disk: d, Tap: "tap0", Vsock: monitor.OwnSocket, RNG: true, Network: w.fd}
	with := []struct {
		name string
		monitor.Devices
	}{
		{"no device", monitor.Devices{}},
		{"disk", monitor.Devices{Disk: d}},
		{"net", monitor.Devices{Tap: "tap0", Network: w.fd}},
		{"vsock", monitor.Devices{Vsock: monitor.OwnSocket}},
		{"rng", monitor.Devices{RNG: true}},
		{"all four", all},
	}
	floor := &contender{name: "floor", vm: monitor.Machine{Kernel: small, MiB: 256, CPUs: 1}}
	list := []*contender{}
	for _, m := range monitor.All(b.paths) {
		if m.Name == "floor" {
			floor.m = m
			list = append(list, floor)
		}
	}
	ways := only(monitor.Ways(b.paths), func(m monitor.Monitor) bool { return m.Name != "firecracker, async" })
	at := map[[2]string]*contender{}
	for _, m := range ways {
		for _, x := range with {
			c := &contender{name: x.name, m: m, vm: monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1, Devices: x.Devices}}
			at[[2]string{m.Name, x.name}] = c
			list = append(list, c)
		}
	}
	b.race(list)
	t := &table{title: "What devices add to a start (tiny guest, to first output; a QEMU has no vsock)"}
	head := []string{""}
	for _, x := range with {
		head = append(head, x.name)
	}
	t.add(append(head, "all four x floor")...)
	var failed []string
	for _, m := range ways {
		none := at[[2]string{m.Name, with[0].name}]
		cells := []string{m.Name}
		for i, x := range with {
			c := at[[2]string{m.Name, x.name}]
			text := c.figure()
			switch {
			case c.err != nil:
				text = "-"
				failed = append(failed, fmt.Sprintf("%s, %s: %v", m.Name, x.name, c.err))
			case i > 0:
				text = fmt.Sprintf("%+.2f ms", (median(c.took)-median(none.took)).Seconds()*1e3)
			}
			cells = append(cells, text)
		}
		t.add(append(cells, ratio(median(at[[2]string{m.Name, "all four"}].took), median(floor.took)))...)
	}
	t.add("floor", floor.figure())
	t.rows[len(t.rows)-1] = append(t.rows[len(t.rows)-1], make([]string, len(t.rows[0])-2)...)
	t.print()
	for _, f := range failed {
		fmt.Printf("\n(%s)\n", f)
	}
	return b.deviceDensity(ways, small, all)
}

func (b *bench) deviceDensity(ways []monitor.Monitor, small string, all monitor.Devices) error {
	t := &table{title: fmt.Sprintf("Memory of %d machines with disk, net, vsock and rng (tiny guest)", crowdSize)}
	t.add("", "1 machine", fmt.Sprintf("%d machines, each", crowdSize), fmt.Sprintf("%d up in", crowdSize))
	for _, m := range ways {
		vm := monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1, Devices: all}
		var one, each []int64
		var took []time.Duration
		var err error
		for range max(1, b.runs/7) {
			var p, q int64
			var d time.Duration
			if p, _, err = b.crowd(m, vm, 1); err == nil {
				q, d, err = b.crowd(m, vm, crowdSize)
			}
			if err != nil {
				break
			}
			one, each, took = append(one, p), append(each, q), append(took, d)
		}
		if err != nil {
			fmt.Printf("\n(%s is left out: %v)\n", m.Name, err)
			continue
		}
		t.add(m.Name, mib(median(one)), mib(median(each)), fmt.Sprintf("%.2f s", median(took).Seconds()))
	}
	t.print()
	return nil
}
