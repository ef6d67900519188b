package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/bench/peer"
	"github.com/mayfly-vm/mayfly/bench/tap"
	"github.com/mayfly-vm/mayfly/lab"
)

// nestLoad is what bench/inside prints for one order.
type nestLoad struct {
	Monitor, Order          string
	Seconds                 float64 // of a boot: Order is empty then
	PerSecond, Bytes, Exits float64
	Kinds                   map[string]uint64
	Error                   string
}

// nestBusy has the guest do nothing but compute: the exits that it has then are
// those of its clock.
const nestBusy = "busy=1000"

// nestDevices compares the devices under Linux's own drivers, on Linux's own
// KVM.
func (b *bench) nestDevices() error {
	ctx := context.Background()
	rows := []measure{
		{"disk: random read 4 KiB, depth 1", "blk=read,rand,4096,1", 1000, "ops", ""},
		{"disk: random read 4 KiB, depth 32", "blk=read,rand,4096,32", 2000, "ops", ""},
		{"disk: random write 4 KiB, depth 32", "blk=write,rand,4096,32", 2000, "ops", ""},
		{"disk: sequential read 128 KiB, depth 8", "blk=read,seq,131072,8", 1000, "bytes", ""},
		{"net: TCP to the host", fmt.Sprintf("tcp=tx,%s:%d,65536", tap.HostIP, peer.Sink), 2000, "bytes", ""},
		{"net: TCP from the host", fmt.Sprintf("tcp=rx,%s:%d,65536", tap.HostIP, peer.Source), 2000, "bytes", ""},
		{"net: ping 64 B", "icmp=" + tap.HostIP + ",64", 2000, "ops", ""},
		{"vsock: to the host", fmt.Sprintf("vsock=tx,%d,65536", peer.Sink), 2000, "bytes", ""},
		{"vsock: from the host", fmt.Sprintf("vsock=rx,%d,65536", peer.Source), 2000, "bytes", ""},
		{"vsock: round trips, 64 B", fmt.Sprintf("vsock=ping,%d,64", peer.Echo), 2000, "ops", ""},
	}
	job, err := b.insideJob(ctx)
	if err != nil {
		return err
	}
	init, err := lab.Build(ctx, "./guest/loadinit")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(init)
	if err != nil {
		return err
	}
	initrd := filepath.Join(b.dir, "load-initrd")
	if err := os.WriteFile(initrd, lab.Initramfs(map[string][]byte{"init": data}), 0o600); err != nil {
		return err
	}
	job.Files["load-initrd"] = initrd
	delete(job.Files, "debian")
	b.addQEMU(&job)
	job.Modules, job.THP = append(job.Modules, "tun"), "always"
	orders := []string{nestBusy}
	for _, r := range rows {
		orders = append(orders, r.String())
	}
	job.Args = append([]string{"-runs", fmt.Sprint(max(1, b.runs/7)), "-devices", strings.Join(orders, " ")},
		slices.DeleteFunc(job.Args, func(a string) bool { return a == "debian" })...)
	if os.Getenv("MAYFLY_BENCH_VERBOSE") != "" {
		job.Stdout, job.Stderr, job.Console = os.Stderr, os.Stderr, os.Stderr
	}
	res, err := lab.Run(ctx, job)
	if err != nil {
		return err
	}
	return printNestDevices(rows, res.Output, b.paths)
}

// addQEMU brings QEMU into the nest, with the firmware that its microvm needs.
func (b *bench) addQEMU(job *lab.Job) {
	const firmware = "/usr/share/qemu/bios-microvm.bin"
	if b.paths["qemu"] == "" {
		return
	}
	if _, err := os.Stat(firmware); err != nil {
		fmt.Printf("(no QEMU in the nest: %v)\n", err)
		return
	}
	// It searches for the firmware in the directory where it is itself.
	const program = "/usr/bin/qemu-system-x86_64"
	job.Files[program], job.Files[firmware] = b.paths["qemu"], firmware
	job.Args = append(job.Args, "qemu="+program)
	addLibraries(job.Files, b.paths["qemu"])
}

func printNestDevices(rows []measure, output []byte, paths map[string]string) error {
	f := newFigures(rows, monitor.Ways(paths))
	boots, exits := map[string][]time.Duration{}, map[string][]int64{}
	kinds := map[[2]string]map[string]uint64{}
	ticks := map[string][]float64{} // exits a second of a guest that computes
	for s := bufio.NewScanner(bytes.NewReader(output)); s.Scan(); {
		var l nestLoad
		if json.Unmarshal(s.Bytes(), &l) != nil {
			fmt.Fprintln(os.Stderr, s.Text())
			continue
		}
		if l.Error != "" {
			fmt.Fprintf(os.Stderr, "%s, %s: %s\n", l.Monitor, l.Order, l.Error)
			continue
		}
		if l.Order == "" {
			boots[l.Monitor] = append(boots[l.Monitor], time.Duration(l.Seconds*float64(time.Second)))
			exits[l.Monitor] = append(exits[l.Monitor], int64(l.Exits))
			continue
		}
		if l.Order == nestBusy {
			ticks[l.Monitor] = append(ticks[l.Monitor], l.Exits*l.PerSecond)
		}
		for _, row := range rows {
			if row.String() != l.Order {
				continue
			}
			k := [2]string{row.name, l.Monitor}
			v := l.PerSecond
			if row.unit == "bytes" {
				v = l.Bytes
			}
			f.speed[k], f.kicks[k], kinds[k] = append(f.speed[k], v), append(f.kicks[k], l.Exits), l.Kinds
		}
	}
	t := &table{title: "Boot to the first line of init with disk, net, vsock and rng, on Linux's KVM (a QEMU has no vsock)"}
	t.add("", "time", "x firecracker", "exits")
	for _, m := range f.ways {
		if len(boots[m.Name]) == 0 {
			t.add(m.Name, "-", "-", "-")
			continue
		}
		t.add(m.Name, fmt.Sprintf("%.2f s", median(boots[m.Name]).Seconds()), ratio(median(boots[m.Name]), median(boots["firecracker, sync"])), fmt.Sprint(median(exits[m.Name])))
	}
	t.print()
	f.printSpeeds("Devices under Linux's own drivers, on Linux's KVM", nil)
	e := &table{title: "The same: all KVM exits a request"}
	e.add(append(f.head(), "mayfly's by kind")...)
	for _, r := range rows {
		cells := []string{r.name}
		var ours map[string]uint64
		for _, m := range f.ways {
			k := [2]string{r.name, m.Name}
			if len(f.kicks[k]) == 0 {
				cells = append(cells, "-")
				continue
			}
			cells = append(cells, fmt.Sprintf("%.3f", median(f.kicks[k])))
			if ours == nil && strings.HasPrefix(m.Name, "mayfly") {
				ours = kinds[k]
			}
		}
		e.add(append(cells, byKind(maps.Clone(ours)))...)
	}
	e.print()
	f.printOwnExits(ticks)
	return nil
}

// printOwnExits shows what of the exits is the device's, where the guest had no
// time to sleep: all but those that its clock makes in the same time.
func (f *figures) printOwnExits(ticks map[string][]float64) {
	t := &table{title: "The same at depth 32, without those that a guest that only computes has in the same time (its clock's)"}
	t.add(f.head()...)
	for _, r := range f.rows {
		if !strings.Contains(r.name, "depth 32") {
			continue
		}
		cells := []string{r.name}
		for _, m := range f.ways {
			k := [2]string{r.name, m.Name}
			if len(f.kicks[k]) == 0 || len(ticks[m.Name]) == 0 {
				cells = append(cells, "-")
				continue
			}
			var own []float64
			clock := median(ticks[m.Name])
			for i, exits := range f.kicks[k] {
				own = append(own, exits-clock/f.speed[k][i])
			}
			cells = append(cells, fmt.Sprintf("%.3f", median(own)))
		}
		t.add(cells...)
	}
	t.print()
}
