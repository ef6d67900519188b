package soft_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/compute"
	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/pvh"
)

// The compute guest's computations find what they find on QEMU's processor.
func TestComputations(t *testing.T) {
	for _, c := range []compute.Computation{
		{Name: "sieve", N: 1, Value: 0x198e}, {Name: "hash", N: 6000, Value: 0xb7255b0ec9f07ae8}, {Name: "chase", N: 4000, Value: 0x7d217d},
		{Name: "chase-big", N: 1000, Value: 0x3d22534}, {Name: "copy", N: 8, Value: 0x38}, {Name: "sort", N: 2, Value: 0x73d6ac18445},
		{Name: "fib", N: 18, Value: 0xa18}, {Name: "indirect", N: 2000, Value: 0x76f70b1501269882}, {Name: "sse", N: 24, Value: 0x2ffe8000},
		{Name: "scalar", N: 3000, Value: 0x9c40},
	} {
		if got := startComputing(t, c.Order(1)).result(t, c.Name); got != c.Value {
			t.Errorf("%s of %d is %#x, want %#x", c.Name, c.N, got, c.Value)
		}
	}
}

// BenchmarkKernels reports how many million instructions the processor executes in a second, for each computation of the
// compute guest, which runs with paging: Minsn/s. "integer" is the geometric mean of those that use general registers only.
func BenchmarkKernels(b *testing.B) {
	for _, c := range compute.All {
		b.Run(c.Name, func(b *testing.B) {
			b.ReportMetric(measure(b, c, b.N), "Minsn/s")
		})
	}
	b.Run("integer", func(b *testing.B) {
		sum, n := 0.0, 0
		for _, c := range compute.All {
			if c.Integer {
				sum += math.Log(measure(b, c, b.N))
				n++
			}
		}
		b.ReportMetric(math.Exp(sum/float64(n)), "Minsn/s")
	})
}

// measure runs a computation some times, and returns millions of instructions in a second. Only it is timed, not the
// machine's start.
func measure(b *testing.B, c compute.Computation, times int) float64 {
	b.Helper()
	b.StopTimer()
	m := startComputing(b, c.Order(times))
	m.line(b, "begin="+c.Name)
	b.StartTimer()
	begin := time.Now()
	value := m.result(b, c.Name)
	took := time.Since(begin)
	b.StopTimer()
	if value != c.Value {
		b.Fatalf("%s has found %#x, want %#x", c.Name, value, c.Value)
	}
	return float64(c.Instructions) * float64(times) / took.Seconds() / 1e6
}

// computer is a machine that runs the compute guest: one processor, RAM, and a serial port that takes bytes.
type computer struct {
	cpu  hypervisor.Processor
	text strings.Builder
}

// Guest-physical addresses of the machine.
const (
	computerRAM     = 32 << 20
	computerInfo    = 0x6000
	computerCmdline = 0x20000
	computerImage   = 1 << 20
)

func startComputing(t testing.TB, cmdline string) *computer {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	host, ram := newHost(t, computerRAM)
	info, _, err := (&pvh.StartInfo{Version: 0, Cmdline: computerCmdline}).Encode(pvh.Layout{Info: computerInfo})
	must(err)
	for at, b := range map[int64][]byte{computerInfo: info, computerCmdline: []byte(cmdline + "\x00"), computerImage: compute.ELF} {
		_, err := ram.WriteAt(b, at)
		must(err)
	}
	machine, cpu := newMachine(t, host, ram, binary.LittleEndian.Uint64(compute.ELF[24:]), computerInfo)
	t.Cleanup(func() {
		cpu.Close()
		machine.Close()
	})
	return &computer{cpu: cpu}
}

// result runs the guest until a computation has ended, and returns what it has found.
func (m *computer) result(t testing.TB, name string) (value uint64) {
	t.Helper()
	line := m.line(t, "result="+name)
	if _, err := fmt.Sscanf(line, "result="+name+" value=%x", &value); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return value
}

// line runs the guest until it has printed a line that begins so.
func (m *computer) line(t testing.TB, prefix string) string {
	t.Helper()
	for {
		var e hypervisor.Exit
		if err := m.cpu.Run(&e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != hypervisor.ExitPortOut || e.Addr != 0x3F8 {
			t.Fatalf("%+v after %q", e, m.text.String())
		}
		m.text.Write(e.Data)
		if e.Data[len(e.Data)-1] == '\n' {
			line := m.text.String()
			m.text.Reset()
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
}
