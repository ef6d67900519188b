package mayfly_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// programs has Spawn find the programs, which are built with a tag.
func programs(t *testing.T, tag string) {
	t.Helper()
	t.Setenv("PATH", machinetest.ProgramsWith(t, tag)+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func spawn(t *testing.T, c mayfly.Config) *mayfly.Process {
	t.Helper()
	machinetest.NeedKVM(t)
	p, err := mayfly.Spawn(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func wait(t *testing.T, p *mayfly.Process) (mayfly.Outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), machinetest.Patience)
	defer cancel()
	o, err := p.Wait(ctx)
	if ctx.Err() != nil {
		t.Fatal("the machine does not end")
	}
	return o, err
}

// A Process has all methods of a VM.
func TestProcessHasTheMethodsOfVM(t *testing.T) {
	vm, process := reflect.TypeFor[*mayfly.VM](), reflect.TypeFor[*mayfly.Process]()
	for i := range vm.NumMethod() {
		want := vm.Method(i)
		got, ok := process.MethodByName(want.Name)
		if !ok || strings.Replace(got.Type.String(), "mayfly.Process", "mayfly.VM", 1) != want.Type.String() {
			t.Errorf("%s is %v, want %v", want.Name, got.Type, want.Type)
		}
	}
	if vm.NumMethod() != process.NumMethod() {
		t.Errorf("%d methods, want %d", process.NumMethod(), vm.NumMethod())
	}
}

// The check guest runs in another process as in this one, confined.
func TestSpawn(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	c := guest(t, check.Options{End: check.Reboot, Echo: true})
	out := new(machinetest.Output)
	in, keys := io.Pipe()
	defer in.Close()
	c.Console = mayfly.Console{In: in, Out: out}
	p := spawn(t, c)
	if s := p.State(); s != mayfly.StateNew {
		t.Errorf("state %s", s)
	}
	if _, err := p.Wait(expired()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	if err := p.Kill(); !errors.Is(err, mayfly.ErrNotRunning) {
		t.Errorf("Kill before Start: %v", err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, out, "echo", 1)
	if err := p.Start(t.Context()); !errors.Is(err, mayfly.ErrStarted) {
		t.Errorf("a second Start: %v", err)
	}
	if s := p.State(); s != mayfly.StateRunning {
		t.Errorf("state %s", s)
	}
	if err := p.Pause(t.Context()); err != nil || p.State() != mayfly.StatePaused {
		t.Errorf("Pause: %v, %s", err, p.State())
	}
	if err := p.Resume(); err != nil {
		t.Error(err)
	}
	if err := p.Resume(); err == nil {
		t.Error("a Resume without a Pause")
	}
	if s := p.Stats(); s.Exits["port out"] == 0 || !slices.Contains(s.Confinement, "seccomp") {
		t.Errorf("%+v", s)
	}
	go io.WriteString(keys, "hello\x04")
	o, err := wait(t, p)
	if err != nil || o.Reason != mayfly.Rebooted || !slices.Contains(o.Confinement, "seccomp") || o.Lost != 0 {
		t.Errorf("%+v, %v", o, err)
	}
	if !strings.Contains(out.String(), "hello") || !strings.Contains(out.String(), "# done") {
		t.Errorf("the guest wrote %s", out.Tail())
	}
	if err := p.Kill(); !errors.Is(err, mayfly.ErrNotRunning) || p.State() != mayfly.StateEnded {
		t.Errorf("Kill: %v, %s", err, p.State())
	}
	p.Close()
	if err := p.Pause(t.Context()); !errors.Is(err, mayfly.ErrClosed) || p.State() != mayfly.StateClosed {
		t.Errorf("Pause after Close: %v, %s", err, p.State())
	}
	<-p.Released()
}

func expired() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 0)
	cancel()
	return ctx
}

// The end of Start's context is the machine's, as is Kill, and Close.
func TestSpawnedMachineIsKilled(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	for name, kill := range map[string]func(*mayfly.Process, func()) error{
		"context": func(_ *mayfly.Process, cancel func()) error { cancel(); return nil },
		"Kill":    func(p *mayfly.Process, _ func()) error { return p.Kill() },
		"Close":   func(p *mayfly.Process, _ func()) error { return p.Close() },
		"Shutdown": func(p *mayfly.Process, _ func()) error {
			_, err := p.Shutdown(expired())
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		p := spawn(t, mayfly.Config{Kernel: file(t, "kernel", machinetest.Kernel([]byte{0xEB, 0xFE}))})
		if err := p.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := kill(p, cancel); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if o, err := wait(t, p); o.Reason != mayfly.Killed || err != nil {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		cancel()
		p.Close()
	}
	p := spawn(t, mayfly.Config{Kernel: file(t, "kernel", machinetest.Kernel([]byte{0xEB, 0xFE}))})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v", err)
	}
	p.Close()
}

// A process that ends by itself, or by its confinement, is an error that says how.
func TestSpawnedProcessThatEnds(t *testing.T) {
	programs(t, "defect")
	leavesNothing(t)
	// mov dx, 0x5DE; mov al, 1 (a file is opened); out dx, al; hlt; jmp to the hlt
	p := spawn(t, mayfly.Config{Kernel: file(t, "kernel", machinetest.Kernel([]byte{0x66, 0xBA, 0xDE, 0x05, 0xB0, 1, 0xEE, 0xF4, 0xEB, 0xFD}))})
	_ = p.Start(t.Context()) // the guest may be faster than the answer
	o, err := wait(t, p)
	if o.Reason != mayfly.HostError || err == nil || !strings.Contains(err.Error(), "system call that its confinement forbids") {
		t.Errorf("%+v, %v", o, err)
	}
	if err := p.Pause(t.Context()); !errors.Is(err, mayfly.ErrNotRunning) || p.State() != mayfly.StateEnded {
		t.Errorf("Pause: %v, %s", err, p.State())
	}
	p.Close()
}

// What this process holds open for a device is the machine's, and a medium that is changed
// while the machine runs is opened here.
func TestSpawnHandsDevicesOver(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	dir := t.TempDir()
	image, other, busy := file(t, "image", make([]byte, 1<<20)), file(t, "other", make([]byte, 1<<20)), file(t, "busy", make([]byte, 1<<20))
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/vsock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listener, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	guest := machinetest.NewBusy(machinetest.BusyQueue{Chains: [][]machinetest.Buffer{{
		{Data: append([]byte{1}, make([]byte, 15)...)}, {Data: []byte("written by the guest" + string(make([]byte, 492)))}, {Data: make([]byte, 1), Device: true}}}})
	p := spawn(t, mayfly.Config{Kernel: file(t, "busy.elf", guest.Kernel), Devices: []mayfly.DeviceConfig{
		blk.Config{File: f, Path: "the disk"}, vnet.Config{FDs: fds[:1]}, vsock.Config{Listener: listener},
		console.Config{Ports: []console.Port{{Console: true, Socket: dir + "/port"}, {Name: "null", Out: os.Stderr}}}, mayfly.Packed{DeviceConfig: rng.Config{}},
	}})
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Error("the disk's file is open here")
	}
	for i, d := range p.Plan().Devices {
		if want := []string{"disk the disk", "net 0", "vsock", "console", "rng"}[i]; d.Name != want {
			t.Errorf("device %d is %q, want %q", i, d.Name, want)
		}
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	writes := func(path string) {
		t.Helper()
		machinetest.Until(t, "write to "+path, func() bool {
			b, err := os.ReadFile(path)
			return err == nil && string(b[:20]) == "written by the guest"
		})
	}
	writes(image)
	// Another opens the medium: that is found out here, and nothing is killed for it.
	held := spawn(t, mayfly.Config{Kernel: file(t, "check.elf", check.ELF), Devices: []mayfly.DeviceConfig{blk.Config{Path: busy}}})
	if err := p.ChangeDisk("disk the disk", blk.Config{Path: busy}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a medium that is in use: %v", err)
	}
	held.Close()
	for _, engine := range []blk.Engine{"", blk.Threads} {
		if err := p.ChangeDisk("disk the disk", blk.Config{Path: busy, Engine: engine}); err != nil {
			t.Error(err)
		}
		if err := p.ChangeDisk("disk the disk", blk.Config{Path: other, Engine: engine}); err != nil {
			t.Fatal(err)
		}
	}
	writes(other)
	var device *mayfly.DeviceError
	for what, err := range map[string]error{
		"a file that is missing": p.ChangeDisk("disk the disk", blk.Config{Path: dir + "/none"}),
		"another's limits":       p.SetDiskLimits("net 0", ratelimit.Config{}),
		"a medium for a card":    p.ChangeDisk("net 0", blk.Config{Path: other}),
		"a card for a medium":    p.ChangeDisk("disk the disk", rng.Config{}),
	} {
		if !errors.As(err, &device) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := p.RefreshDisk("none"); !errors.Is(err, mayfly.ErrNoDevice) {
		t.Errorf("RefreshDisk: %v", err)
	}
	err = errors.Join(p.SetDiskLimits("disk the disk", ratelimit.Config{Ops: &ratelimit.Bucket{Size: 1, Refill: time.Hour}}),
		p.SetLink("net 0", false), p.ResizeConsole("console", 0, 80, 25), p.RefreshDisk("disk the disk"))
	if err != nil {
		t.Error(err)
	}
	p.Close()
	if _, err := os.Stat(dir + "/port"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the console's socket: %v", err)
	}
}

// Errors of the other process are those of New.
func TestSpawnFails(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	kernel := file(t, "check.elf", check.ELF)
	for name, c := range map[string]mayfly.Config{
		"a wrong field":          {Kernel: "vmlinux", CPUs: -1},
		"no kernel":              {Kernel: t.TempDir() + "/vmlinux"},
		"no KVM":                 {Kernel: kernel, KVM: "/dev/null"},
		"a device that is wrong": {Kernel: kernel, Devices: []mayfly.DeviceConfig{blk.Config{}}},
		"no file":                {Kernel: kernel, Devices: []mayfly.DeviceConfig{rng.Config{}, blk.Config{Path: t.TempDir() + "/disk"}}},
	} {
		_, want := mayfly.New(c)
		_, err := mayfly.Spawn(c)
		if err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		var device, wantDevice *mayfly.DeviceError
		var config, wantConfig *mayfly.ConfigError
		if errors.As(err, &device) != errors.As(want, &wantDevice) || errors.As(err, &config) != errors.As(want, &wantConfig) ||
			errors.Is(err, fs.ErrNotExist) != errors.Is(want, fs.ErrNotExist) || reflect.TypeOf(err) != reflect.TypeOf(want) && (device != nil || config != nil) {
			t.Errorf("%s: %#v, want %#v", name, err, want)
		}
	}
	for name, c := range map[string]mayfly.Config{
		"a function":    {Kernel: kernel, Devices: []mayfly.DeviceConfig{blk.Config{Path: kernel, Report: func(error) {}}}},
		"a reader":      {Kernel: kernel, Devices: []mayfly.DeviceConfig{console.Config{Ports: []console.Port{{Console: true, In: new(bytes.Buffer)}}}}},
		"another type":  {Kernel: kernel, Devices: []mayfly.DeviceConfig{noDevice{}}},
		"not UTF-8":     {Kernel: kernel, Cmdline: "\xff"},
		"a path so too": {Kernel: kernel, Devices: []mayfly.DeviceConfig{blk.Config{Path: "\xff"}}},
	} {
		var config *mayfly.ConfigError
		if _, err := mayfly.Spawn(c); !errors.As(err, &config) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("PATH", "/nowhere")
	if _, err := mayfly.Spawn(mayfly.Config{Kernel: kernel}); err == nil || !strings.Contains(err.Error(), "mayfly-machine") {
		t.Errorf("without the program: %v", err)
	}
}

// records keeps what a Logger gets.
type records struct {
	mu   sync.Mutex
	list []string
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec.Message)
	return nil
}

// What the machine reports comes to the Logger, and a console that fails is counted.
func TestSpawnReports(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	log := new(records)
	c := guest(t, check.Options{})
	c.Cmdline += " noapic"
	c.Platform = mayfly.PlatformLinux
	c.Logger = slog.New(log)
	c.Console.Out = failing{}
	p := spawn(t, c)
	machinetest.Until(t, "a warning", func() bool {
		log.mu.Lock()
		defer log.mu.Unlock()
		return len(log.list) == 1 && strings.Contains(log.list[0], "noapic")
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o, err := wait(t, p); o.Lost == 0 || o.LostCause == nil || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
	p.Close()
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, fmt.Errorf("no output here") }

// A program that is not ours is not believed.
func TestSpawnOfAHostileProgram(t *testing.T) {
	leavesNothing(t)
	kernel := file(t, "check.elf", check.ELF)
	dir := t.TempDir()
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for name, script := range map[string]string{
		"ends":         "exit 3",
		"says why":     "echo no reason >&2; exit 3",
		"garbage":      "head -c 100000 /dev/urandom >&3; sleep 100",
		"a huge size":  `printf '\377\377\377\377' >&3; sleep 100`,
		"null":         `printf '\004\000\000\000null' >&3; exit 1`,
		"closes":       "exec 3>&-; sleep 100",
		"talks a lot":  "head -c 1000000 /dev/zero >&2; exit 1",
		"no plan":      `printf '\014\000\000\000{"number":1}' >&3; sleep 100`,
		"unknown call": `printf '\015\000\000\000{"number":99}' >&3; exit 1`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "mayfly-machine"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		p, err := mayfly.Spawn(mayfly.Config{Kernel: kernel})
		if err == nil {
			p.Close()
			t.Errorf("%s: accepted", name)
		} else if name == "says why" && !strings.Contains(err.Error(), "no reason") {
			t.Errorf("%s: %v", name, err)
		}
		if d := time.Since(begin); d > machinetest.Patience/2 {
			t.Errorf("%s: took %v", name, d)
		}
	}
}
