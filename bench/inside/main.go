// Command inside is the part of the benchmarks that runs in the lab: it starts
// each monitor on each kernel in turn, up to the first line of init, and counts
// the KVM exits and the memory on the way. It prints one JSON object a run.
//
//	inside -runs N -load MODE,MODE MONITOR=PATH… -- KERNEL…
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

// Result is one start.
type Result struct {
	Monitor, Kernel string
	Seconds         float64
	Exits           uint64
	Kinds           map[string]uint64 `json:",omitempty"`
	PSS             int64
	Error           string `json:",omitempty"`
}

const (
	events = "/sys/kernel/tracing/events/kvm/kvm_exit/"
	hist   = "hist:keys=exit_reason"
)

// firstLine is what guest/init says, as the console shows it.
const firstLine = "init\r\n"

func main() {
	runs := flag.Int("runs", 5, "starts of each")
	loads := flag.String("load", "auto", "Mayfly's ways to load, separated by commas")
	cmdline := flag.String("cmdline", "console=ttyS0 pci=conf1,noearly quiet -- stay", "the guests' command line")
	crowd := flag.Int("crowd", 1, "machines at once")
	orders := flag.String("devices", "", "orders for guest/loadinit, separated by blanks: measure devices, not starts alone")
	flag.Parse()
	paths := map[string]string{}
	var kernels []string
	for _, a := range flag.Args() {
		if name, path, ok := strings.Cut(a, "="); ok {
			paths[name] = path
		} else {
			kernels = append(kernels, a)
		}
	}
	out := json.NewEncoder(os.Stdout)
	if *orders != "" {
		if err := devices(out, paths, kernels[0], *runs, strings.Fields(*orders)); err != nil {
			fmt.Fprintln(os.Stderr, "inside:", err)
			os.Exit(1)
		}
		return
	}
	starts := startsOf(paths, kernels, strings.Split(*loads, ","))
	for range *runs {
		for _, i := range rand.Perm(len(starts)) { // no one always comes after the same other
			s := starts[i]
			s.vm.Initrd, s.vm.Cmdline, s.vm.MiB, s.vm.CPUs = "initrd", *cmdline, 256, 1
			r := start(s.m, s.vm, *crowd)
			r.Monitor, r.Kernel = s.name, s.vm.Kernel
			out.Encode(r)
		}
	}
}

// contender is a monitor with what it is asked to start.
type contender struct {
	name string
	m    monitor.Monitor
	vm   monitor.Machine
}

func startsOf(paths map[string]string, kernels, loads []string) (list []contender) {
	for _, k := range kernels {
		for _, m := range monitor.All(paths) {
			if !m.Mayfly() {
				list = append(list, contender{m.Name, m, monitor.Machine{Kernel: k}})
				continue
			}
			for _, l := range loads {
				list = append(list, contender{m.Name + " --load=" + l, m, monitor.Machine{Kernel: k, Load: l}})
			}
		}
	}
	return list
}

func start(m monitor.Monitor, vm monitor.Machine, crowd int) (r Result) {
	trace := os.WriteFile(events+"trigger", []byte(hist), 0) == nil
	var all []*monitor.Started
	for range crowd {
		s, err := monitor.Start(m, vm, os.TempDir(), firstLine, 2*time.Minute)
		if err != nil {
			r.Error = err.Error()
			break
		}
		r.Seconds += s.Took.Seconds() / float64(crowd)
		all = append(all, s)
	}
	if trace {
		r.Exits, r.Kinds = count()
		os.WriteFile(events+"trigger", []byte("!"+hist), 0)
	}
	for _, s := range all {
		p, err := s.PSS()
		if err != nil {
			r.Error = err.Error()
		}
		r.PSS += p / int64(crowd)
	}
	for _, s := range all {
		s.Stop()
	}
	return r
}

// count reads the histogram: lines like "{ exit_reason: npf } hitcount: 12".
func count() (total uint64, kinds map[string]uint64) {
	b, err := os.ReadFile(events + "hist")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 0, nil
	}
	kinds = map[string]uint64{}
	for _, line := range strings.Split(string(b), "\n") {
		key, n, ok := strings.Cut(line, "} hitcount:")
		if !ok {
			continue
		}
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(key), "{ exit_reason:"))
		v, err := strconv.ParseUint(strings.TrimSpace(n), 10, 64)
		if err == nil && len(f) > 0 {
			kinds[strings.Join(f, " ")] += v
			total += v
		}
	}
	return total, kinds
}
