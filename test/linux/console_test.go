package linux

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// keyboard is the host's end of a guest's console input.
type keyboard struct {
	t    testing.TB
	r, w *os.File
}

func newKeyboard(t testing.TB) *keyboard {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &keyboard{t, r, w}
}

func (k *keyboard) types(text string) {
	k.t.Helper()
	if _, err := k.w.WriteString(text); err != nil {
		k.t.Fatal(err)
	}
}

// echoed is what goes in: lines of 64 bytes, each with its number.
func echoed(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("%08d %s", i, strings.Repeat(string(rune('a'+i%26)), 54)))
	}
	return lines
}

// TestConsoleEchoesBothWays sends 64 KiB over the console: 32 KiB through the
// guest's terminal, and back.
// Linux keeps at most 4095 bytes of input that nobody has read; a line has no
// flow control, so no more than that is under way.
func TestConsoleEchoesBothWays(t *testing.T) {
	const atOnce = 32 // lines
	in := newKeyboard(t)
	g := start(t, mayfly.Config{Kernel: smallKernel, CPUs: 2, Console: mayfly.Console{In: in.r}, Cmdline: words("mayfly.test=echo", "mayfly.report=none")})
	g.says("echo: ready")
	lines := echoed(512)
	for i := 0; i < len(lines); i += atOnce {
		in.types(strings.Join(lines[i:i+atOnce], "\n") + "\n")
		g.says("echo: " + lines[i+atOnce-1])
	}
	in.types("quit\n")
	g.ends(mayfly.PowerOff)
	_, after, _ := strings.Cut(g.out.String(), "echo: ready\n")
	got, _, _ := strings.Cut(after, "echo: done\n")
	if want := "echo: " + strings.Join(lines, "\necho: ") + "\n"; got != want {
		t.Errorf("%d bytes came back, want %d; they differ from byte %d on", len(got), len(want), common(got, want))
	}
}

// common is how many bytes two texts have in common at their start.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// TestFloodLosesNothing lets the guest write 64 KiB as fast as it can to a
// reader that takes its time.
func TestFloodLosesNothing(t *testing.T) {
	s := new(machinetest.Output)
	vm, err := mayfly.Spawn(mayfly.Config{Kernel: smallKernel, Initrd: []string{initrdFile}, Cmdline: words("mayfly.test=flood,64", "mayfly.report=none"),
		Console: mayfly.Console{Out: slowReader{s, time.Tick(10 * time.Millisecond)}}})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	(&guest{t, vm, s}).ends(mayfly.PowerOff)
	_, after, _ := strings.Cut(s.String(), "flood: begin\n")
	got, _, _ := strings.Cut(after, "flood: end\n")
	if want := strings.Join(echoed(1024), "\n") + "\n"; got != want {
		t.Errorf("%d bytes came, want %d; they differ from byte %d on", len(got), len(want), common(got, want))
	}
}

// slowReader takes one piece of output a tick.
type slowReader struct {
	*machinetest.Output
	tick <-chan time.Time
}

func (r slowReader) Write(p []byte) (int, error) {
	<-r.tick
	return r.Output.Write(p)
}
