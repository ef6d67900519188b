package mayfly_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

// Each message names the field, what was found and what can be.
func TestBadConfig(t *testing.T) {
	leavesNothing(t)
	kernel := file(t, "check.elf", check.ELF)
	for _, c := range []struct {
		field  string
		change func(*mayfly.Config)
		words  []string
	}{
		{"Kernel", func(c *mayfly.Config) { c.Kernel = "" }, []string{"no file", "vmlinux"}},
		{"CPUs", func(c *mayfly.Config) { c.CPUs = -1 }, []string{"-1", "1 to 255"}},
		{"CPUs", func(c *mayfly.Config) { c.CPUs = 256 }, []string{"256", "1 to 255"}},
		{"Memory", func(c *mayfly.Config) { c.Memory = 16<<20 - 1 }, []string{"16777215 bytes", "at least 16 MiB"}},
		{"Memory", func(c *mayfly.Config) { c.Memory = 1 << 63 }, []string{"9223372036854775808 bytes", "at most 16 TiB"}},
		{"Cmdline", func(c *mayfly.Config) { c.Cmdline = strings.Repeat("x", 64<<10) }, []string{"65536 bytes", "at most 65535"}},
		{"Cmdline", func(c *mayfly.Config) { c.Cmdline = "one\x00two" }, []string{"NUL at byte 3", "remove"}},
		{"Boot", func(c *mayfly.Config) { c.Boot = "bios" }, []string{`"bios"`, `"auto", "pvh" and "linux"`}},
		{"Platform", func(c *mayfly.Config) { c.Platform = "pc" }, []string{"\"pc\"", "generic"}},
		{"Load", func(c *mayfly.Config) { c.Load = "mmap" }, []string{`"mmap"`, `"auto", "map" and "copy"`}},
		{"Bus", func(c *mayfly.Config) { c.Bus = "isa" }, []string{"\"isa\"", "pci"}},
		{"Watchdog", func(c *mayfly.Config) { c.Watchdog = "on" }, []string{"\"on\"", "restart"}},
		{"OnReboot", func(c *mayfly.Config) { c.OnReboot = "stop" }, []string{"\"stop\"", "restart"}},
	} {
		cfg := mayfly.Config{Kernel: kernel}
		c.change(&cfg)
		for name, try := range map[string]func(mayfly.Config) error{
			"New":     func(c mayfly.Config) error { _, err := mayfly.New(c); return err },
			"NewPlan": func(c mayfly.Config) error { _, err := mayfly.NewPlan(c); return err },
		} {
			err := try(cfg)
			var bad *mayfly.ConfigError
			if !errors.As(err, &bad) || bad.Field != c.field {
				t.Errorf("%s: %v, want an error about %s", name, err, c.field)
				continue
			}
			for _, w := range append(c.words, c.field) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: %q lacks %q", name, err, w)
				}
			}
		}
	}
}

func TestFilesThatCannotBe(t *testing.T) {
	leavesNothing(t)
	kernel := file(t, "check.elf", check.ELF)
	without := bytes.Clone(check.ELF)
	copy(without[24:32], make([]byte, 8)) // e_entry
	noEntry := file(t, "check.elf", without)
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		cfg   mayfly.Config
		words []string
	}{
		{"no kernel", mayfly.Config{Kernel: dir + "/none"}, []string{dir + "/none", "no such file"}},
		{"a folder as kernel", mayfly.Config{Kernel: dir}, []string{dir, "directory"}},
		{"text as kernel", mayfly.Config{Kernel: file(t, "text", []byte("#!/bin/sh\n"))}, []string{"text", "is a script"}},
		{"no initrd", mayfly.Config{Kernel: kernel, Initrd: []string{kernel, dir + "/none"}}, []string{"initrd", dir + "/none", "no such file"}},
		{"a folder as initrd", mayfly.Config{Kernel: kernel, Initrd: []string{dir}}, []string{"initrd", dir, "directory"}},
		{"a pipe as initrd", mayfly.Config{Kernel: kernel, Initrd: []string{pipe}}, []string{"initrd", pipe, "is a pipe", "a regular file"}},
		{"an empty initrd", mayfly.Config{Kernel: kernel, Initrd: []string{file(t, "empty", nil)}}, []string{"initrd", "empty"}},
		{"an initrd too big", mayfly.Config{Kernel: kernel, Initrd: []string{big}}, []string{"initrd", "1024 MiB", "more memory"}},
		{"a protocol it lacks", mayfly.Config{Kernel: noEntry, Boot: mayfly.BootLinux}, []string{"check.elf", "Linux 64-bit protocol"}},
		{"no KVM", mayfly.Config{Kernel: kernel, KVM: dir + "/kvm"}, []string{dir + "/kvm", "modprobe"}},
		{"no KVM device", mayfly.Config{Kernel: kernel, KVM: "/dev/null"}, []string{"/dev/null", "no KVM device"}},
		{"a file as KVM device", mayfly.Config{Kernel: kernel, KVM: kernel}, []string{kernel, "no KVM device"}},
		{"a folder as KVM device", mayfly.Config{Kernel: kernel, KVM: dir}, []string{dir}},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm, err := mayfly.New(c.cfg)
			if err == nil {
				vm.Close()
				t.Fatal("accepted")
			}
			for _, w := range c.words {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
		})
	}
}

func TestForbiddenKVMSaysWhoMay(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kernel, device := filepath.Join(dir, "kernel"), filepath.Join(dir, "kvm")
	if err := os.WriteFile(kernel, check.ELF, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(device, nil, 0); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() {
		// A thread's file rights are its own; without an unlock it ends with this
		// goroutine.
		runtime.LockOSThread()
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0)
		_, err := mayfly.New(mayfly.Config{Kernel: kernel, KVM: device})
		result <- err
	}()
	err := <-result
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), device) || !strings.Contains(err.Error(), "usermod -aG kvm") {
		t.Errorf("New: %v", err)
	}
}

// Whatever step of a start fails, nothing of it is left.
func TestStartWithoutDescriptors(t *testing.T) {
	leavesNothing(t)
	machinetest.NeedKVM(t)
	c := guest(t, check.Options{NoChecks: true})
	c.CPUs = 4
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	failed, next := 0, lowestFree(t)
	for more := uint64(0); ; more++ {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: next + more, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
		vm, err := mayfly.New(c)
		if err == nil {
			err = vm.Start(t.Context())
		}
		if err == nil {
			if o, err := vm.Wait(t.Context()); err != nil || o.Reason != mayfly.PowerOff {
				t.Errorf("with %d descriptors: %+v, %v", more, o, err)
			}
		}
		if vm != nil {
			vm.Close()
		}
		if err == nil {
			break
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Fatal(err)
		}
		if failed++; !errors.Is(err, unix.EMFILE) && more > 0 {
			t.Errorf("with %d descriptors: %v", more, err)
		}
		if now := lowestFree(t); now != next {
			t.Fatalf("with %d descriptors: the next is %d, not %d", more, now, next)
		}
	}
	if failed < 5 { // kernel, KVM, machine, vCPUs
		t.Errorf("failed %d times only", failed)
	}
}

// lowestFree is the number that the next descriptor gets.
func lowestFree(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return uint64(fd)
}

// No configuration makes a plan or New panic, and what passes can be laid out.
func FuzzPlan(f *testing.F) {
	kernel := file(f, "check.elf", check.ELF)
	initrd := file(f, "initrd", []byte("initrd"))
	f.Add("console=ttyS0", 1, uint64(1<<28), uint8(0), uint8(0), uint8(0), uint8(0), true, false)
	f.Add("a\x00b", 256, uint64(1<<45), uint8(3), uint8(3), uint8(2), uint8(3), false, true)
	f.Add("", -1, ^uint64(0), uint8(1), uint8(2), uint8(1), uint8(40), true, true)
	boots := []mayfly.Boot{mayfly.BootAuto, mayfly.BootPVH, mayfly.BootLinux}
	loads := []mayfly.Load{mayfly.LoadAuto, mayfly.LoadMap, mayfly.LoadCopy}
	reboots := []mayfly.Reboot{"", mayfly.RebootRestart, mayfly.RebootExit, "stop"}
	f.Fuzz(func(t *testing.T, cmdline string, cpus int, memory uint64, boot, load, reboot, initrds uint8, huge, prealloc bool) {
		c := mayfly.Config{Kernel: kernel, Cmdline: cmdline, CPUs: cpus, Memory: memory, Boot: boots[int(boot)%len(boots)], Load: loads[int(load)%len(loads)],
			OnReboot: reboots[int(reboot)%len(reboots)], HugePages: huge, Prealloc: prealloc}
		for range initrds % 8 {
			c.Initrd = append(c.Initrd, initrd)
		}
		p, err := mayfly.NewPlan(c)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		end := uint64(0)
		for _, e := range p.MemMap {
			if e.Addr < end || e.Addr+e.Size <= e.Addr {
				t.Fatalf("memory map %+v", p.MemMap)
			}
			end = e.Addr + e.Size
		}
		if uint64(p.Initrd.Addr)+p.Initrd.Size > 3<<30 {
			t.Errorf("initrd at %#x", p.Initrd.Addr)
		}
	})
}
