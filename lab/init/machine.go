package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/lab/internal/link"
)

// mountAll mounts what programs expect of a Linux machine.
func mountAll() error {
	for _, m := range []struct{ dir, fs, data string }{
		{"/proc", "proc", ""},
		{"/sys", "sysfs", ""},
		{"/dev", "devtmpfs", ""},
		{"/dev/pts", "devpts", "ptmxmode=0666"},
		{"/dev/shm", "tmpfs", ""},
		{"/tmp", "tmpfs", "mode=1777"},
		{"/sys/kernel/tracing", "tracefs", ""},
		{"/sys/kernel/debug", "debugfs", ""},
		{"/sys/fs/cgroup", "cgroup2", ""},
	} {
		os.MkdirAll(m.dir, 0o755)
		if err := unix.Mount(m.fs, m.dir, m.fs, 0, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fs, m.dir, err)
		}
	}
	os.Symlink("/proc/self/fd", "/dev/fd")
	return nil
}

// openPort finds the virtio-serial port called name. The kernel adds ports
// some time after the device, so it may have to wait.
func openPort(name string) (*os.File, error) {
	for range 5000 {
		found, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, f := range found {
			if b, err := os.ReadFile(f); err == nil && strings.TrimSpace(string(b)) == name {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(f)), os.O_RDWR, 0)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil, fmt.Errorf("no virtio-serial port is named %q", name)
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load kernel module %s: %w", path, err)
	}
	return nil
}

// linkDisk gives the disk with a serial number a name. Its driver may still be
// looking at it.
func linkDisk(serial, name string) error {
	for range 5000 {
		found, _ := filepath.Glob("/sys/block/*/serial")
		for _, f := range found {
			if readLine(f) == serial {
				return os.Symlink("/dev/"+filepath.Base(filepath.Dir(f)), name)
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	return fmt.Errorf("no disk has the serial number %q", serial)
}

const thpFile = "/sys/kernel/mm/transparent_hugepage/enabled"

func setTHP(mode string) error {
	if mode == "" {
		return nil
	}
	return os.WriteFile(thpFile, []byte(mode), 0)
}

// loopbackUp gives programs 127.0.0.1.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func greet() link.Greeting {
	var g link.Greeting
	g.Kernel = readLine("/proc/sys/kernel/osrelease")
	for _, m := range []string{"kvm_amd", "kvm_intel", "kvm_pvm"} {
		if _, err := os.Stat("/sys/module/" + m); err == nil {
			g.KVM = m
		}
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		const getAPIVersion = 0xAE00 // KVM_GET_API_VERSION, linux/kvm.h
		v, err := unix.IoctlRetInt(int(f.Fd()), getAPIVersion)
		if err == nil {
			g.API = v
		}
		f.Close()
	}
	g.THP = readLine(thpFile)
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) == nil {
		g.Uptime = time.Duration(ts.Nano()).Round(time.Millisecond)
	}
	return g
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}
