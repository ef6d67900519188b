package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/bench/peer"
	"github.com/mayfly-vm/mayfly/bench/tap"
	guest "github.com/mayfly-vm/mayfly/guest/bench"
)

// Load is what a device did under one order.
type Load struct {
	Monitor, Order string
	PerSecond      float64           // requests
	Bytes          float64           // a second
	Exits          float64           // of KVM, a request
	Kinds          map[string]uint64 `json:",omitempty"`
	Error          string            `json:",omitempty"`
}

const diskSize = 64 << 20

// devices measures devices with Linux's own drivers: the boot to init with all
// of them, then what guest/loadinit is ordered.
func devices(out *json.Encoder, paths map[string]string, kernel string, runs int, orders []string) error {
	dir, err := os.MkdirTemp("", "devices")
	if err != nil {
		return err
	}
	if err := tap.Add("tap0", true); err != nil {
		return err
	}
	if _, err := peer.TCP(tap.HostIP); err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk")
	if err := guest.WriteDisk(disk, diskSize); err != nil {
		return err
	}
	for run := range runs {
		ways := monitor.Ways(paths)
		// The order shall be random.
		rand.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
		for way, m := range ways {
			d := monitor.Devices{Disk: &monitor.Disk{Path: disk}, Tap: "tap0", Vsock: filepath.Join(dir, fmt.Sprintf("v%d-%d", run, way)), RNG: true}
			vm := monitor.Machine{Kernel: kernel, Initrd: "initrd", Cmdline: "console=ttyS0 quiet " + m.Linux + " -- stay", MiB: 256, CPUs: 1, Devices: d}
			r := start(m, vm, 1)
			r.Monitor, r.Kernel = m.Name, kernel
			out.Encode(r)
			if err := load(out, m, vm, dir, orders); err != nil {
				out.Encode(Load{Monitor: m.Name, Error: err.Error()})
			}
		}
	}
	return nil
}

func load(out *json.Encoder, m monitor.Monitor, vm monitor.Machine, dir string, orders []string) error {
	mine := make([]string, 0, len(orders))
	for _, o := range orders {
		if m.Vsock || !strings.HasPrefix(o, "vsock=") {
			mine = append(mine, o)
		}
	}
	vm.Initrd, vm.Cmdline = "load-initrd", "console=ttyS0 quiet "+m.Linux+" -- "+strings.Join(mine, " ")
	vm.Vsock += "-load"
	p, err := peer.Unix(vm.Vsock)
	if err != nil {
		return err
	}
	defer p.Close()
	n := 0
	return monitor.Run(m, vm, dir, 5*time.Minute, func(line string) bool {
		if strings.HasPrefix(line, "begin=") {
			os.WriteFile(events+"trigger", []byte(hist), 0)
			return false
		}
		r, ok := guest.ParseLine(line)
		if bad := strings.HasPrefix(line, "error="); ok || bad {
			_, kinds := count()
			os.WriteFile(events+"trigger", []byte("!"+hist), 0)
			var total uint64
			for _, v := range kinds {
				total += v
			}
			l := Load{Monitor: m.Name, Order: mine[min(n, len(mine)-1)], Kinds: kinds, PerSecond: r.PerSecond("ops"), Bytes: r.PerSecond("bytes")}
			if l.Exits = float64(total) / float64(max(1, r.Number("ops"))); bad {
				l.Error = line
			}
			out.Encode(l)
			n++
		}
		return strings.HasPrefix(line, guest.Done)
	})
}
