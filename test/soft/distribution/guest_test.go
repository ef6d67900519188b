package distribution

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	_ "github.com/mayfly-vm/mayfly/kernel/unpack"
	"github.com/mayfly-vm/mayfly/lab/images"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

// job is what is to run where.
type job struct {
	image      images.Image
	processors int
	only       string // the cases that match run; "": all
	suites     []string
}

// command runs the suites, from and to the directory at.
func (j job) command(at string, scale int) string {
	return fmt.Sprintf("SCALE=%d EACH=%d bash %s/suites.sh %[3]s/out '%s' %s", scale, int(each.Seconds()), at, j.only, strings.Join(j.suites, " "))
}

// Limits of a guest's start, and of what it does at the end.
const (
	startup  = 20 * time.Minute
	shutdown = 5 * time.Minute
)

// mountPoint is where guest and chroot have the suites' script and leave the results.
const mountPoint = "/run/suites"

// inGuest boots the image to its login prompt, logs in, runs the suites from a second disk, and powers off.
func inGuest(t *testing.T, j job) results {
	t.Helper()
	dir := t.TempDir()
	root, scratch := filepath.Join(dir, "root.img"), filepath.Join(dir, "scratch.img")
	command(t, "cp", "--sparse=always", "--reflink=auto", j.image.Disk(), root)
	if err := images.Ext4(t.Context(), scratch, 256<<20, "testdata"); err != nil {
		t.Fatal(err)
	}
	in, keys := io.Pipe()
	out := new(machinetest.Output)
	vm, err := mayfly.New(mayfly.Config{
		Kernel: j.image.Kernel(), Initrd: []string{j.image.Initrd()}, Memory: 1 << 30, CPUs: j.processors, Processor: mayfly.ProcessorSoft,
		Cmdline: mayfly.DefaultCmdline(mayfly.BusMMIO) + " root=/dev/vda ro quiet systemd.show_status=no", Bus: mayfly.BusMMIO,
		Devices: []mayfly.DeviceConfig{blk.Config{Path: root}, blk.Config{Path: scratch}, rng.Config{}},
		Console: mayfly.Console{In: in, Out: io.MultiWriter(out, progress{})},
	})
	if err != nil {
		if j.processors > 1 && strings.Contains(err.Error(), "vCPU") {
			t.Skipf("the software processor has too few vCPUs: %v", err)
		}
		t.Fatal(err)
	}
	defer vm.Close()
	defer keys.Close()
	begin := time.Now()
	if err := vm.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := machinetest.Shell{Out: out, Keys: keys}
	within(t, startup, out, s.Login)
	t.Logf("%v to the login", time.Since(begin).Round(time.Second))
	begin = time.Now()
	within(t, time.Hour*24, out, func(ctx context.Context) error {
		_, err := s.Run(ctx, "mkdir "+mountPoint+"; mount -o sync /dev/vdb "+mountPoint+"; "+j.command(mountPoint, *scale))
		return err
	})
	t.Logf("%v for the suites %q", time.Since(begin).Round(time.Second), j.suites)
	within(t, shutdown, out, func(ctx context.Context) error {
		log, err := s.Run(ctx, "dmesg --level=emerg,alert,crit,err; dmesg | grep -E 'traps:|segfault|general protection' | tail -n 40; systemctl --failed --no-legend; umount "+mountPoint)
		if err == nil && strings.TrimSpace(log) != "" {
			t.Logf("the guest reports:\n%s", log)
		}
		return err
	})
	within(t, shutdown, out, func(ctx context.Context) error {
		if err := s.Type("systemctl poweroff\n"); err != nil {
			return err
		}
		o, err := vm.Wait(ctx)
		if err == nil && o.Reason != mayfly.PowerOff {
			err = fmt.Errorf("the guest ended: %v (%s)", o.Reason, o.Detail)
		}
		return err
	})
	guest := filepath.Join(dir, "guest")
	command(t, images.Tool("debugfs"), "-R", "rdump /out "+dir, scratch)
	if err := os.Rename(filepath.Join(dir, "out"), guest); err != nil {
		t.Fatal(err)
	}
	return read(t, guest)
}

// within fails the test if f has not succeeded within the time.
func within(t *testing.T, limit time.Duration, out *machinetest.Output, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Fatalf("%v\n%s", err, out.Tail())
	}
}

// command runs a program, which must succeed.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// progress shows a guest's console to who runs the test with -v.
type progress struct{}

func (progress) Write(p []byte) (int, error) {
	if testing.Verbose() {
		os.Stderr.Write(p)
	}
	return len(p), nil
}
