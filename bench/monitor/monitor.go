// Package monitor knows how each monitor of a comparison is told to start the
// same machine: kernel, initrd, command line, memory, processors, serial
// console on standard output and nothing else. Benchmarks on this computer and
// in the nest use it alike.
package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Machine is what a monitor is asked to start.
type Machine struct {
	Kernel, Initrd, Cmdline string
	MiB, CPUs               int
	Load                    string // Mayfly's --load; "": its default
}

// Monitor is one program under comparison.
type Monitor struct {
	Name string
	Path string
	Args func(m Machine, dir string) ([]string, error) // dir: for files it needs
}

// All are the monitors that paths names a program for, Mayfly first. The keys
// are "mayfly", "floor", "firecracker", "cloud-hypervisor" and "qemu".
func All(paths map[string]string) (list []Monitor) {
	for _, m := range []Monitor{
		{Name: "floor", Args: floor},
		{Name: "mayfly", Args: mayfly},
		{Name: "firecracker", Args: firecracker},
		{Name: "cloud-hypervisor", Args: cloudHypervisor},
		{Name: "qemu", Args: qemu},
	} {
		if m.Path = paths[m.Name]; m.Path != "" {
			list = append(list, m)
		}
	}
	return list
}

func floor(m Machine, _ string) ([]string, error) {
	return []string{m.Kernel, strconv.Itoa(m.MiB)}, nil
}

func mayfly(m Machine, _ string) ([]string, error) {
	a := []string{"run", m.Kernel, "--quiet", "--cmdline-only", m.Cmdline, "--memory", fmt.Sprintf("%dM", m.MiB), "--cpus", strconv.Itoa(m.CPUs)}
	if m.Load != "" {
		a = append(a, "--load", m.Load)
	}
	if m.Initrd != "" {
		a = append(a, "--initrd", m.Initrd)
	}
	return a, nil
}

func firecracker(m Machine, dir string) ([]string, error) {
	source := map[string]string{"kernel_image_path": m.Kernel, "boot_args": m.Cmdline}
	if m.Initrd != "" {
		source["initrd_path"] = m.Initrd
	}
	c, err := json.Marshal(map[string]any{
		"boot-source":    source,
		"drives":         []any{},
		"machine-config": map[string]any{"vcpu_count": m.CPUs, "mem_size_mib": m.MiB},
	})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "firecracker.json")
	return []string{"--no-api", "--level", "Error", "--config-file", path}, os.WriteFile(path, c, 0o600)
}

func cloudHypervisor(m Machine, _ string) ([]string, error) {
	a := []string{"--kernel", m.Kernel, "--cmdline", m.Cmdline, "--memory", fmt.Sprintf("size=%dM", m.MiB),
		"--cpus", "boot=" + strconv.Itoa(m.CPUs), "--serial", "tty", "--console", "off"}
	if m.Initrd != "" {
		a = append(a, "--initramfs", m.Initrd)
	}
	return a, nil
}

func qemu(m Machine, _ string) ([]string, error) {
	a := []string{"-M", "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on,auto-kernel-cmdline=off", "-accel", "kvm", "-cpu", "qemu64",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-m", strconv.Itoa(m.MiB), "-smp", strconv.Itoa(m.CPUs), "-kernel", m.Kernel, "-append", m.Cmdline}
	if m.Initrd != "" {
		a = append(a, "-initrd", m.Initrd)
	}
	return a, nil
}
