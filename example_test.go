package mayfly_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/timeline"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

// exampleKernel stands for a vmlinux: it writes the check guest to a file.
func exampleKernel() string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("mayfly-example-%d.elf", os.Getpid()))
	if err := os.WriteFile(path, check.ELF, 0o600); err != nil {
		log.Fatal(err)
	}
	return path
}

// exampleDriver stands for a guest with a driver of the program's own device, of which
// it asks something for ever.
func exampleDriver(request string) string {
	path := exampleKernel()
	guest := machinetest.NewBusy(machinetest.BusyQueue{Chains: [][]machinetest.Buffer{{{Data: []byte(request)}, {Data: make([]byte, len(request)), Device: true}}}})
	if err := os.WriteFile(path, guest.Kernel, 0o600); err != nil {
		log.Fatal(err)
	}
	return path
}

// must is a value without an error.
func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// A kernel boots with five lines.
func Example() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	ctx := context.Background()

	vm := must(mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck", Console: mayfly.Console{Out: os.Stdout}}))
	defer vm.Close()
	if err := vm.Start(ctx); err == nil {
		fmt.Println(must(vm.Wait(ctx)).Reason)
	}
}

// A machine from its configuration to its end. For a Linux guest the command
// line is DefaultCmdline with what you add.
func ExampleNew() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	var screen bytes.Buffer
	vm, err := mayfly.New(mayfly.Config{
		Kernel:  kernel,
		Cmdline: "nocheck",
		Memory:  64 << 20,
		Console: mayfly.Console{Out: &screen},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	outcome, err := vm.Wait(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outcome.Reason)
	fmt.Print(screen.String())
}

// A context bounds a machine's life: what still runs at its end is killed.
func ExampleVM_Start() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck echo"}) // waits for input for ever
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := vm.Start(ctx); err != nil {
		log.Fatal(err)
	}
	outcome, err := vm.Wait(context.Background())
	fmt.Println(outcome.Reason, err)
}

// Talking with a guest over its serial console.
func ExampleConsole() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	var screen bytes.Buffer
	vm, err := mayfly.New(mayfly.Config{
		Kernel:  kernel,
		Cmdline: "nocheck echo", // echoes what it reads until Ctrl-D
		Console: mayfly.Console{In: strings.NewReader("hello\x04"), Out: &screen},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	if _, err := vm.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	_, said, _ := strings.Cut(screen.String(), "Ctrl-D\n")
	fmt.Print(said)
}

// A paused machine makes no progress; the power button asks its guest to leave.
func ExampleVM_Pause() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck end=button"})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := vm.Pause(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(vm.State()) // no vCPU runs, and no device has I/O under way
	if err := vm.Resume(); err != nil {
		log.Fatal(err)
	}
	if err := vm.PowerButton(); err != nil {
		log.Fatal(err)
	}
	outcome, err := vm.Wait(context.Background())
	fmt.Println(outcome.Reason, err)
}

// Machines of one process know nothing of each other.
func Example_machines() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	var all sync.WaitGroup
	var ended atomic.Int32
	for range 8 {
		all.Go(func() {
			vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck", Memory: 32 << 20})
			if err != nil {
				log.Print(err)
				return
			}
			defer vm.Close()
			if err := vm.Start(context.Background()); err != nil {
				log.Print(err)
				return
			}
			if outcome, err := vm.Wait(context.Background()); err == nil && outcome.Reason == mayfly.PowerOff {
				ended.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Println(ended.Load(), "machines ran")
}

// Counters of a machine and of its devices, for people or, as JSON, for programs.
func ExampleVM_Stats() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck", Devices: []mayfly.DeviceConfig{rng.Config{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	if _, err := vm.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	s := vm.Stats()
	fmt.Println(s.State, s.Uptime > 0, s.Exits["port out"] > 0)
	for _, d := range s.Devices {
		b, err := json.Marshal(d)
		fmt.Println(string(b), err)
	}
}

// Where the time of a start goes.
func ExampleConfig_timeline() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	recorder := timeline.New(time.Now())
	vm, err := mayfly.New(mayfly.Config{Kernel: kernel, Cmdline: "nocheck", Timeline: recorder})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	if _, err := vm.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	entered, _ := recorder.Snapshot().At(timeline.GuestEntered)
	output, _ := recorder.Snapshot().At(timeline.FirstOutput)
	fmt.Println(0 < entered && entered < output)
}

// A plan shows a machine without making one; it needs no KVM.
func ExampleNewPlan() {
	kernel := exampleKernel()
	defer os.Remove(kernel)
	plan, err := mayfly.NewPlan(mayfly.Config{Kernel: kernel, Memory: 4 << 30})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("entered by", plan.Protocol)
	for _, e := range plan.MemMap {
		fmt.Printf("%09x %7d KiB %v\n", e.Addr, e.Size>>10, e.Type)
	}
	// Output:
	// entered by PVH
	// 000000000     640 KiB RAM
	// 0000a0000     384 KiB reserved
	// 000100000 3144704 KiB RAM
	// 100000000 1048576 KiB RAM
}

// Those of the examples that make machines run here, where KVM is: an Output
// comment would make them fail elsewhere.
func TestExamples(t *testing.T) {
	machinetest.NeedKVM(t)
	for name, e := range map[string]struct {
		run  func()
		want string
	}{
		"package":         {Example, "1..0 # SKIP nocheck\npowered off\n"},
		"machines":        {Example_machines, "8 machines ran\n"},
		"device":          {Example_device, "the guest asked: hello, device\n"},
		"VM.Stats":        {ExampleVM_Stats, "ended true true\n" + `{"name":"rng","type":"rng","stats":{"requests":0,"bytes":0,"throttled":0}} <nil>` + "\n"},
		"New":             {ExampleNew, "powered off\n1..0 # SKIP nocheck\n"},
		"VM.Start":        {ExampleVM_Start, "killed <nil>\n"},
		"Console":         {ExampleConsole, "hello\n# echoed: 5\n"},
		"VM.Pause":        {ExampleVM_Pause, "paused\npowered off <nil>\n"},
		"Config timeline": {ExampleConfig_timeline, "true\n"},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			if got := printed(t, e.run); got != e.want {
				t.Errorf("printed %q, want %q", got, e.want)
			}
		})
	}
}

// printed is what f writes to standard output, which fits a pipe.
func printed(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	f()
	w.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
