package mayfly_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

const spewed = 200_000

// slowly reads some bytes at a time, far slower than the guest writes.
func slowly(r io.Reader) (all []byte) {
	pace := time.NewTicker(60 * time.Millisecond)
	defer pace.Stop()
	buf := make([]byte, 3000)
	for {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all
		}
		<-pace.C
	}
}

func TestASlowReaderLosesNothing(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	piped, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer piped.Close()
	inProgram, writer := io.Pipe()
	var wg sync.WaitGroup
	for _, c := range []struct {
		name string
		r    io.Reader
		w    io.WriteCloser
	}{{"a pipe", piped, pipe}, {"a writer in the program", inProgram, writer}} {
		want := check.Spew(spewed)
		cfg := mayfly.Config{Kernel: file(t, "kernel", spewGuest(want)), OnReboot: mayfly.RebootExit, Console: mayfly.Console{Out: c.w}}
		wg.Go(func() {
			defer c.w.Close()
			vm, err := mayfly.New(cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer vm.Close()
			if err := vm.Start(t.Context()); err != nil {
				t.Error(err)
				return
			}
			if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff || o.Lost != 0 {
				t.Errorf("%s: %+v, %v", c.name, o, err)
			}
		})
		wg.Go(func() {
			if all := slowly(c.r); !bytes.Equal(all, want) {
				t.Errorf("%s: %d bytes arrived, which are not the %d that the guest wrote", c.name, len(all), len(want))
			}
		})
	}
	wg.Wait()
}

// stuck is a reader that takes nothing until it is let go.
type stuck struct{ free chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.free; return len(p), nil }

func TestAStuckReaderIsGivenUpAndCounted(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds")
	}
	machinetest.NeedKVM(t)
	leavesNothing(t)
	s := stuck{make(chan struct{})}
	defer close(s.free)
	c := mayfly.Config{Kernel: file(t, "kernel", spewGuest(check.Spew(spewed))), OnReboot: mayfly.RebootExit}
	c.Console.Out = s
	vm, err := mayfly.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := vm.Wait(t.Context())
	if err != nil || o.Reason != mayfly.PowerOff || o.Lost < spewed-70_000 || o.Lost > spewed {
		t.Errorf("%+v, %v; want a machine that powered off in spite of it, and most of %d bytes lost", o, err, spewed)
	}
}

func TestEchoBothWays(t *testing.T) {
	for _, cpus := range []int{1, 2} {
		leavesNothing(t)
		c := guest(t, check.Options{NoChecks: true, Echo: true})
		c.CPUs = cpus
		vm := start(t, c)
		vm.await("Ctrl-D\n", 1)
		said := make([]byte, 9_000) // more than FIFO and queue hold
		r := rand.New(rand.NewPCG(3, 4))
		for i := range said {
			said[i] = "abcdefghijklmnopqrstuvwxyz\n\x00\xff\x1b"[r.IntN(30)]
		}
		vm.press(string(said) + "\x04")
		vm.want(mayfly.PowerOff)
		if out := vm.output.String(); !strings.Contains(out, "Ctrl-D\n"+string(said)+"\n# echoed: 9000\n") {
			t.Errorf("%d CPUs: the echo is not what was said: %d bytes, ending with %q", cpus, len(out), out[max(0, len(out)-60):])
		}
		vm.Close()
	}
}

func TestBreakReachesTheGuestAfterItsInput(t *testing.T) {
	leavesNothing(t)
	vm := start(t, guest(t, check.Options{NoChecks: true, Echo: true}))
	vm.press("[")
	vm.await("[", 1)
	if err := vm.Break(); err != nil {
		t.Fatal(err)
	}
	vm.press("]\x04")
	vm.want(mayfly.PowerOff)
	if !strings.Contains(vm.output.String(), "[\x00]") { // what a UART makes of a break
		t.Errorf("%q", vm.output)
	}
}

// Input that is there before the machine, and its end, change nothing.
func TestInputFromTheStart(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	for range 20 {
		c := guest(t, check.Options{NoChecks: true, Echo: true})
		out := new(machinetest.Output)
		c.Console = mayfly.Console{In: strings.NewReader("early\x04"), Out: out}
		vm, err := mayfly.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := vm.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff || !strings.Contains(out.String(), "early\n# echoed: 5") {
			t.Errorf("%+v, %v: %s", o, err, out)
		}
		vm.Close()
	}
}

// An input that can be interrupted is its owner's again after the machine's end.
func TestInputIsGivenBack(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c := guest(t, check.Options{NoChecks: true})
	c.Console.In = r
	vm, err := mayfly.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("for the next one"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "for the next one" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
}
