package mayfly_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// file writes a file into a folder of the test's own.
func file(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// guest is a configuration that boots the check guest with its orders.
func guest(t testing.TB, o check.Options) mayfly.Config {
	return mayfly.Config{Kernel: file(t, "check.elf", check.ELF), Cmdline: check.Cmdline(o), OnReboot: mayfly.RebootExit}
}

// await waits until the text was written n times.
func await(t testing.TB, o *machinetest.Output, text string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), machinetest.Patience)
	defer cancel()
	if err := o.WaitCount(ctx, text, n); err != nil {
		t.Fatalf("no %q (%d times) on the console within %v. %s", text, n, machinetest.Patience, o.Tail())
	}
}

// running is a started machine with both sides of its console.
type running struct {
	*mayfly.VM
	t      testing.TB
	output *machinetest.Output
	keys   *io.PipeWriter
}

// start makes a machine and starts it; the test's end closes it. A console in c
// is replaced.
func start(t testing.TB, c mayfly.Config) *running {
	t.Helper()
	return startIn(t, context.Background(), c)
}

// startIn is start with a context for the machine's life.
func startIn(t testing.TB, ctx context.Context, c mayfly.Config) *running {
	t.Helper()
	if c.Processor != mayfly.ProcessorSoft {
		machinetest.NeedKVM(t)
	}
	r := &running{t: t, output: new(machinetest.Output)}
	var in *io.PipeReader
	in, r.keys = io.Pipe()
	c.Console = mayfly.Console{In: in, Out: r.output}
	var err error
	if r.VM, err = mayfly.New(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); r.VM.Close() })
	if err := r.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *running) await(text string, n int) {
	r.t.Helper()
	await(r.t, r.output, text, n)
}

func (r *running) press(keys string) {
	r.t.Helper()
	if _, err := io.WriteString(r.keys, keys); err != nil {
		r.t.Fatal(err)
	}
}

// end waits for the machine's end.
func (r *running) end() mayfly.Outcome {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), machinetest.Patience)
	defer cancel()
	o, err := r.Wait(ctx)
	if err != nil {
		r.t.Fatalf("the machine's end: %v. %s", err, r.output.Tail())
	}
	return o
}

// want is end and a comparison.
func (r *running) want(reason mayfly.Reason) mayfly.Outcome {
	r.t.Helper()
	o := r.end()
	if o.Reason != reason {
		r.t.Errorf("the machine ended as %v (%s), want %v. %s", o.Reason, o.Detail, reason, r.output.Tail())
	}
	return o
}

// reports reads n reports of the check guest and wants all their points good.
func (r *running) reports(n int) {
	r.t.Helper()
	in := bufio.NewReaderSize(strings.NewReader(r.output.String()), 4096)
	for i := range n {
		report, err := check.Parse(in)
		if err != nil {
			r.t.Fatalf("report %d of %d: %v", i+1, n, err)
		}
		for _, p := range report.Failed() {
			r.t.Errorf("report %d: %v", i+1, p)
		}
	}
}

// holdings is what a machine can leave behind.
type holdings struct {
	fds      map[string]int // by what they point to
	mappings map[string]int // of files and of KVM
	guest    int            // mappings of guest memory
}

func hold(t testing.TB) holdings {
	t.Helper()
	h := holdings{fds: map[string]int{}, mappings: map[string]int{}}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "/proc/") && !strings.Contains(to, "[event") { // the runtime's poller
			h.fds[to]++
		}
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "VmFlags:":
			// Nothing else in this process asks for huge pages.
			if slices.Contains(f, "hg") || slices.Contains(f, "ht") {
				h.guest++
			}
		case len(f) > 5 && strings.Contains(f[0], "-") && !strings.HasPrefix(f[5], "["):
			h.mappings[f[5]]++
		}
	}
	return h
}

// leavesNothing fails the test if at its end there is a goroutine, descriptor or
// mapping more than now. Call it before anything else.
func leavesNothing(t testing.TB) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	before := hold(t)
	t.Cleanup(func() {
		goleak.VerifyNone(t, ignore)
		after := hold(t)
		for name, n := range after.fds {
			if n > before.fds[name] {
				t.Errorf("%d descriptors of %s are left, %d were there before", n, name, before.fds[name])
			}
		}
		for name, n := range after.mappings {
			if n > before.mappings[name] {
				t.Errorf("%d mappings of %s are left, %d were there before", n, name, before.mappings[name])
			}
		}
		if after.guest > before.guest {
			t.Errorf("%d mappings of guest memory are left, %d were there before", after.guest, before.guest)
		}
	})
}
