package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/bench/peer"
	guest "github.com/mayfly-vm/mayfly/guest/bench"
)

// measure is a row of a table of devices: an order for the guest, and what of
// its result counts.
type measure struct {
	name  string
	order string // without its time
	ms    int
	unit  string // "ops" or "bytes"
	after string // words of the order after the time
}

func (m measure) String() string { return fmt.Sprintf("%s,%d%s", m.order, m.ms, m.after) }

// figures are what the monitors got, by row and monitor.
type figures struct {
	rows   []measure
	ways   []monitor.Monitor
	speed  map[[2]string][]float64
	kicks  map[[2]string][]float64
	failed map[string]error
}

func newFigures(rows []measure, ways []monitor.Monitor) *figures {
	return &figures{rows, ways, map[[2]string][]float64{}, map[[2]string][]float64{}, map[string]error{}}
}

// collect runs the orders once on each monitor. One that fails is left out from
// then on.
func (b *bench) collect(f *figures, devices monitor.Devices, flood int) {
	for _, m := range f.ways {
		if f.failed[m.Name] == nil {
			f.failed[m.Name] = b.collectOn(f, m, devices, flood)
		}
	}
}

func (b *bench) collectOn(f *figures, m monitor.Monitor, devices monitor.Devices, flood int) error {
	kernel := filepath.Join(b.dir, "bench.elf")
	if err := os.WriteFile(kernel, guest.ELF, 0o600); err != nil {
		return err
	}
	words := []string{fmt.Sprintf("tsc_khz=%d", b.khz), m.Find}
	limit := 30 * time.Second
	for _, r := range f.rows {
		words = append(words, r.String())
		limit += time.Duration(r.ms) * time.Millisecond * 3
	}
	if devices.Vsock != "" {
		dir, err := os.MkdirTemp(b.dir, "v")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		devices.Vsock = filepath.Join(dir, "s")
		p, err := peer.Unix(devices.Vsock)
		if err != nil {
			return err
		}
		defer p.Close()
	}
	c := collection{f: f, monitor: m.Name, net: &network{devices.Network}, flood: flood, counts: devices.Tap != ""}
	defer c.stopFlood()
	vm := monitor.Machine{Kernel: kernel, Cmdline: strings.Join(words, " "), MiB: 256, CPUs: 1, Devices: devices}
	err := monitor.Run(m, vm, b.dir, limit, c.line)
	switch {
	case err != nil:
		return err
	case c.bad != nil:
		return c.bad
	case c.n != len(f.rows):
		return fmt.Errorf("%d results of %d", c.n, len(f.rows))
	}
	return nil
}

// collection takes what the guest of one monitor writes.
type collection struct {
	f       *figures
	monitor string
	net     *network
	flood   int    // bytes of the packets that are sent to the guest
	counts  bool   // what the guest has sent is counted where it arrives
	arrived uint64 // packets before the row that runs
	n       int    // rows that have ended
	bad     error

	stop     atomic.Bool
	flooders sync.WaitGroup
}

func (c *collection) startFlood() {
	c.stop.Store(false)
	c.flooders.Go(func() {
		if err := c.net.flood(c.flood, &c.stop); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
}

func (c *collection) stopFlood() {
	c.stop.Store(true)
	c.flooders.Wait()
}

// line takes a line of the guest and reports whether it is the last of interest.
func (c *collection) line(line string) (last bool) {
	switch {
	case line == "begin=netrx":
		c.startFlood()
		return false
	case strings.HasPrefix(line, "error="):
		c.bad = fmt.Errorf("the guest wrote %q", line)
		return true
	case strings.HasPrefix(line, guest.Done):
		return true
	}
	r, ok := guest.ParseLine(line)
	if !ok || c.n == len(c.f.rows) {
		return false
	}
	c.stopFlood()
	row := c.f.rows[c.n]
	c.n++
	if r.Number("bad") != 0 || r.Number("closed") != 0 {
		c.bad = fmt.Errorf("wrong data: %s", line)
		return true
	}
	share, err := c.share(r)
	if err != nil {
		c.bad = err
		return true
	}
	if r.Text("skipped") == "" {
		k := [2]string{row.name, c.monitor}
		c.f.speed[k] = append(c.f.speed[k], r.PerSecond(row.unit)*share)
		c.f.kicks[k] = append(c.f.kicks[k], float64(r.Number("kicks"))/float64(max(1, r.Number("ops"))))
	}
	return false
}

// share is how much of what the guest sent has arrived, 0 to 1: only that counts.
func (c *collection) share(r guest.Result) (float64, error) {
	if !c.counts {
		return 1, nil
	}
	now, err := c.net.arrived()
	if err != nil {
		return 0, err
	}
	before := c.arrived
	c.arrived = now
	if r.Order == "nettx" && r.Number("ops") > 0 {
		return min(1, float64(now-before)/float64(r.Number("ops"))), nil
	}
	return 1, nil
}

// print shows the speeds, Mayfly's next to the best of the others, and the exits
// of the data path. extra are more columns, by row.
func (f *figures) print(title string, extra map[string]map[string]float64, columns ...string) {
	f.printSpeeds(title, extra, columns...)
	f.printNotifications(title)
	for _, m := range f.ways {
		if err := f.failed[m.Name]; err != nil {
			fmt.Printf("\n(%s is left out from where it failed: %v)\n", m.Name, err)
		}
	}
}

// head is that of a table with a column for each monitor.
func (f *figures) head() []string {
	head := []string{""}
	for _, m := range f.ways {
		head = append(head, m.Name)
	}
	return head
}

func (f *figures) printNotifications(title string) {
	t := &table{title: title + ": notifications a request (each an exit)"}
	t.add(f.head()...)
	for _, r := range f.rows {
		if r.unit != "ops" {
			continue
		}
		cells := []string{r.name}
		for _, m := range f.ways {
			if k := f.kicks[[2]string{r.name, m.Name}]; len(k) > 0 {
				cells = append(cells, fmt.Sprintf("%.3f", median(k)))
			} else {
				cells = append(cells, "-")
			}
		}
		t.add(cells...)
	}
	if len(t.rows) > 1 {
		t.print()
	}
}

func (f *figures) printSpeeds(title string, extra map[string]map[string]float64, columns ...string) {
	t := &table{title: title}
	head := append(append(f.head(), columns...), "mayfly x best peer")
	for _, c := range columns {
		head = append(head, "x "+c)
	}
	before := slices.ContainsFunc(f.ways, func(m monitor.Monitor) bool { return strings.HasPrefix(m.Name, monitor.Before) })
	if before {
		head = append(head, "x before")
	}
	t.add(head...)
	for _, r := range f.rows {
		cells := []string{r.name}
		best := map[string]float64{} // by whose it is
		for _, m := range f.ways {
			v := median(f.speed[[2]string{r.name, m.Name}])
			whose := "peer"
			if m.Mayfly() {
				whose, _, _ = strings.Cut(m.Name, ",")
			}
			best[whose] = max(best[whose], v)
			cells = append(cells, rate(v, r.unit))
		}
		for _, c := range columns {
			cells = append(cells, rate(extra[c][r.name], r.unit))
		}
		cells = append(cells, times(best["mayfly"], best["peer"]))
		for _, c := range columns {
			cells = append(cells, times(best["mayfly"], extra[c][r.name]))
		}
		if before {
			cells = append(cells, times(best["mayfly"], best[monitor.Before]))
		}
		t.add(cells...)
	}
	t.print()
}

func times(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

func rate(v float64, unit string) string {
	switch {
	case v == 0:
		return "-"
	case unit == "bytes":
		return fmt.Sprintf("%.0f MB/s", v/1e6)
	case v < 1e4:
		return fmt.Sprintf("%.0f /s", v)
	}
	return fmt.Sprintf("%.1f k/s", v/1e3)
}
