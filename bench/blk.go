package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	guest "github.com/mayfly-vm/mayfly/guest/bench"
)

const diskSize = 256 << 20

// fio's columns. The guest keeps one processor busy, since it polls: beside that
// fio has less to work with too.
const (
	fioAlone = "fio"
	fioBusy  = "fio, a CPU busy"
)

// blk compares the disks, through the page cache and past it, and with fio on
// the host.
func (b *bench) blk() error {
	disk := filepath.Join(b.dir, "disk")
	if err := guest.WriteDisk(disk, diskSize); err != nil {
		return err
	}
	defer os.Remove(disk)
	var rows []measure
	for _, op := range []string{"read", "write"} {
		for _, depth := range []int{1, 32, 128} {
			rows = append(rows, measure{fmt.Sprintf("random %s 4 KiB, depth %d", op, depth), fmt.Sprintf("blk=%s,rand,4096,%d", op, depth), 300, "ops", ""})
		}
		rows = append(rows, measure{fmt.Sprintf("sequential %s 128 KiB, depth 8", op), fmt.Sprintf("blk=%s,seq,128k,8", op), 300, "bytes", ""})
	}
	_, err := exec.LookPath("fio")
	if err != nil {
		fmt.Println("(no fio here: its column is left out)")
	}
	for _, direct := range []bool{false, true} {
		ways := monitor.Ways(b.paths)
		title := "Disk, through the host's page cache"
		if direct {
			title = "Disk, past the host's page cache (O_DIRECT)"
			ways = only(ways, func(m monitor.Monitor) bool { return m.Direct })
		}
		f := newFigures(rows, ways)
		host := map[string]map[string][]float64{fioAlone: {}, fioBusy: {}}
		for range max(3, b.runs/4) {
			b.collect(f, monitor.Devices{Disk: &monitor.Disk{Path: disk, Direct: direct}}, 0)
			if err == nil {
				if err := b.fio(disk, rows, direct, host[fioAlone]); err != nil {
					return err
				}
				var err error
				besideWork(func() { err = b.fio(disk, rows, direct, host[fioBusy]) })
				if err != nil {
					return err
				}
			}
		}
		extra := map[string]map[string]float64{fioAlone: {}, fioBusy: {}}
		for _, r := range rows {
			for c := range extra {
				extra[c][r.name] = median(host[c][r.name])
			}
		}
		f.print(title, extra, fioAlone, fioBusy)
		if _, err := guest.CheckDisk(disk); err != nil {
			return err
		}
	}
	return nil
}

// besideWork calls do while a thread keeps a processor busy.
func besideWork(do func()) {
	var stop atomic.Bool
	var busy sync.WaitGroup
	busy.Go(func() {
		for !stop.Load() {
		}
	})
	do()
	stop.Store(true)
	busy.Wait()
}

func only(list []monitor.Monitor, want func(monitor.Monitor) bool) (out []monitor.Monitor) {
	for _, m := range list {
		if want(m) {
			out = append(out, m)
		}
	}
	return out
}

// fio does the same on the host. What it would write goes to a file of its own,
// so that the disk's content stays what the guest expects.
func (b *bench) fio(disk string, rows []measure, direct bool, speed map[string][]float64) error {
	spoiled := disk + ".fio"
	if _, err := os.Stat(spoiled); err != nil {
		if err := guest.WriteDisk(spoiled, diskSize); err != nil {
			return err
		}
	}
	for _, r := range rows {
		f := strings.Split(strings.TrimPrefix(r.order, "blk="), ",")
		mode, size, depth, file := f[0], f[2], f[3], disk
		if mode == "write" {
			file = spoiled
		}
		if f[1] == "rand" {
			mode = "rand" + mode
		}
		args := []string{"--name=x", "--filename=" + file, "--rw=" + mode, "--bs=" + size, "--iodepth=" + depth, "--ioengine=io_uring",
			"--time_based", fmt.Sprintf("--runtime=%dms", r.ms), "--output-format=json", "--allow_file_create=0", "--norandommap", "--invalidate=0"}
		if direct {
			args = append(args, "--direct=1")
		}
		out, err := exec.Command("fio", args...).Output()
		if err != nil {
			return fmt.Errorf("fio %s: %w\n%s", strings.Join(args, " "), err, out)
		}
		var report struct {
			Jobs []struct {
				Read, Write struct {
					IOPS float64 `json:"iops"`
					BW   float64 `json:"bw_bytes"`
				}
			}
		}
		if err := json.Unmarshal(out, &report); err != nil || len(report.Jobs) != 1 {
			return fmt.Errorf("fio's report: %w", err)
		}
		j := report.Jobs[0].Read
		if strings.HasSuffix(mode, "write") {
			j = report.Jobs[0].Write
		}
		v := j.IOPS
		if r.unit == "bytes" {
			v = j.BW
		}
		speed[r.name] = append(speed[r.name], v)
	}
	return nil
}
