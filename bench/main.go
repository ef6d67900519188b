// Command bench measures Mayfly and its peers and prints tables.
//
//	go run ./bench [-runs N] [-only start,rate,scale,density,blk,net,vsock,rng,devstart,confine,soft,softkvm,nest,nestold,nestdev]
//
// MAYFLY_BENCH_FIRECRACKER and MAYFLY_BENCH_CLOUD_HYPERVISOR name the peers'
// programs; a peer without one is left out. QEMU is taken from the PATH.
// MAYFLY_BENCH_BEFORE names an older mayfly program: its rows and columns are
// "before", and tables of devices get a column with this version's ratio to it. Each
// figure is the median of runs that were interleaved with those of the others:
// compare within one table, never across machines.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

// bench is one run of the benchmarks.
type bench struct {
	runs  int
	dir   string // scratch
	paths map[string]string
	khz   uint64 // of the time stamp counter
}

const tables = "start,rate,scale,density,blk,net,vsock,rng,devstart,confine,soft,softkvm,nest,nestold,nestdev"

func main() {
	runs := flag.Int("runs", 21, "how often each figure is measured")
	only := flag.String("only", tables, "which tables, separated by commas")
	flag.Parse()
	if err := run(*runs, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(runs int, only []string) error {
	dir, err := os.MkdirTemp("", "mayfly-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{runs: runs, dir: dir, khz: tscKHz(), paths: map[string]string{
		"firecracker":      os.Getenv("MAYFLY_BENCH_FIRECRACKER"),
		"cloud-hypervisor": os.Getenv("MAYFLY_BENCH_CLOUD_HYPERVISOR"),
		monitor.Before:     os.Getenv("MAYFLY_BENCH_BEFORE"),
	}}
	if b.paths["qemu"], err = exec.LookPath("qemu-system-x86_64"); err != nil {
		b.paths["qemu"] = ""
	}
	if err := b.build(); err != nil {
		return err
	}
	for _, peer := range []string{"firecracker", "cloud-hypervisor", "qemu"} {
		if b.paths[peer] == "" {
			fmt.Printf("(no %s here: its rows are left out)\n", peer)
		}
	}
	make := map[string]func() error{"start": b.start, "rate": b.rate, "scale": b.scale, "density": b.density, "blk": b.blk, "net": b.net, "vsock": b.vsock,
		"rng": b.rng, "devstart": b.deviceStart, "confine": b.confine, "soft": b.soft, "softkvm": b.softOnKVM, "nest": b.nest, "nestold": b.nestOld, "nestdev": b.nestDevices}
	for _, name := range only {
		t, ok := make[name]
		if !ok {
			return fmt.Errorf("-only %s: there are %s", name, tables)
		}
		if err := t(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// build makes the programs as users get them, and the floor.
func (b *bench) build() error {
	b.paths["mayfly"] = filepath.Join(b.dir, "mayfly")
	if out, err := exec.Command("make", "-s", "build", "BIN="+b.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	floor := filepath.Join(b.dir, "floor")
	if out, err := exec.Command("cc", "-O2", "-static", "-o", floor, "bench/floor/floor.c").CombinedOutput(); err != nil {
		fmt.Printf("(no floor: %v %s)\n", err, out)
		return nil
	}
	b.paths["floor"] = floor
	return nil
}
