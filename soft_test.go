package mayfly_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// softly is a configuration for the software processor.
func softly(c mayfly.Config) mayfly.Config {
	c.Processor = mayfly.ProcessorSoft
	return c
}

// runSoftly runs a machine to its end.
func runSoftly(t *testing.T, c mayfly.Config, limit time.Duration) (mayfly.Outcome, *machinetest.Output) {
	t.Helper()
	out := new(machinetest.Output)
	c.Console.Out = out
	vm, err := mayfly.New(softly(c))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := vm.Start(ctx); err != nil {
		t.Fatal(err)
	}
	o, err := vm.Wait(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o, out
}

// The software processor, which needs no KVM, is as the check guest wants it.
func TestSoftwareProcessor(t *testing.T) {
	leavesNothing(t)
	for name, o := range map[string]check.Options{"power-off": {}, "x2APIC": {X2APIC: true}, "a task": {Task: true}, "reboot": {End: check.Reboot}} {
		c := guest(t, o)
		end, out := runSoftly(t, c, machinetest.Patience)
		want := mayfly.PowerOff
		if name == "reboot" {
			want = mayfly.Rebooted
		}
		if end.Reason != want || end.Processor != "the software processor" {
			t.Errorf("%s: %+v", name, end)
		}
		(&running{t: t, output: out}).reports(1)
	}
}

// It is restarted in place, paused, and killed.
func TestSoftwareProcessorIsControlled(t *testing.T) {
	leavesNothing(t)
	c := softly(guest(t, check.Options{End: check.Reboot}))
	c.OnReboot = mayfly.RebootRestart
	out := new(machinetest.Output)
	c.Console.Out = out
	vm, err := mayfly.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, out, "# done", 3)
	if err := vm.Pause(t.Context()); err != nil {
		t.Error(err)
	}
	if err := vm.Resume(); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	if err := vm.Kill(); err != nil {
		t.Error(err)
	}
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.Killed || o.Restarts < 2 {
		t.Errorf("%+v, %v", o, err)
	}
	t.Logf("Kill and Wait took %v", time.Since(begin))
	if _, err := mayfly.New(mayfly.Config{Kernel: c.Kernel, CPUs: 17, Processor: mayfly.ProcessorSoft}); err == nil {
		t.Error("17 vCPUs")
	}
}

// What KVM allocates for a machine's memory does not limit one that runs without it.
func TestSoftwareProcessorHasMuchMemory(t *testing.T) {
	leavesNothing(t)
	c := softly(guest(t, check.Options{}))
	c.Memory = mayfly.MaxMemory
	vm, err := mayfly.New(c)
	if err != nil {
		t.Fatal(err)
	}
	vm.Close()
}

// What only KVM has is refused, for what it is.
func TestSoftwareProcessorRefusesWhatItLacks(t *testing.T) {
	for field, c := range map[string]mayfly.Config{"Nested": {Nested: true}, "PMU": {PMU: true}} {
		c.Kernel = guest(t, check.Options{}).Kernel
		var e *mayfly.ConfigError
		if _, err := mayfly.New(softly(c)); !errors.As(err, &e) || e.Field != field || !strings.Contains(e.Msg, "the software processor has no") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Random bytes as code end as a guest does, or by Kill, and never the program.
func TestSoftwareProcessorBearsRandomCode(t *testing.T) {
	leavesNothing(t)
	r := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		code := make([]byte, 4096)
		for i := range code {
			code[i] = byte(r.Uint32())
		}
		c := mayfly.Config{Kernel: file(t, "kernel", machinetest.Kernel(code)), Memory: 20 << 20, OnReboot: mayfly.RebootExit}
		runSoftly(t, c, 30*time.Millisecond)
	}
}

// What a guest has executed that the software processor has not is named by the statistics.
func TestSoftwareProcessorNamesWhatItHasNot(t *testing.T) {
	leavesNothing(t)
	xgetbv := []byte{0x0F, 0x01, 0xD0} // without an IDT
	vm, err := mayfly.New(softly(mayfly.Config{Kernel: file(t, "kernel", machinetest.Kernel(xgetbv)), Memory: 20 << 20}))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.TripleFault || !strings.Contains(o.Detail, "0F 01 D0 (XGETBV)") {
		t.Errorf("%+v, %v", o, err)
	}
	for range 2 {
		if s := vm.Stats(); len(s.Unimplemented) != 1 || s.Unimplemented["0F 01 D0 (XGETBV)"] != 1 {
			t.Errorf("%v", s.Unimplemented)
		}
		_ = vm.Close()
	}
}

// Files arrive whole on the software processor, too, and one that is cut short under a running machine
// ends that machine with a message where it is mapped, as an initrd is.
func TestSoftwareProcessorReadsFiles(t *testing.T) {
	for _, load := range loads {
		for _, parts := range []int{0, 1} {
			for _, truncate := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, %d initrds, truncated %v", load, parts, truncate), func(t *testing.T) {
					leavesNothing(t)
					c, path, want := reading(t, load, parts)
					vm := start(t, softly(c))
					vm.await(".", 1)
					if truncate {
						if err := os.Truncate(path, 3<<20); err != nil {
							t.Fatal(err)
						}
					}
					vm.press(" ")
					if truncate && (load == mayfly.LoadMap || load == mayfly.LoadAuto && parts > 0) {
						vm.want(mayfly.ImageChanged)
						return
					}
					if vm.want(mayfly.PowerOff); vm.output.String() != string(want) {
						t.Errorf("the guest read the sum %q, want %q", vm.output.String(), want)
					}
				})
			}
		}
	}
}
