// Package monitor has, for each monitor of a comparison, the command that starts the
// same machine: kernel, initrd, command line, memory, processors, serial
// console on standard output, and the devices that are asked for. Benchmarks on
// this computer and in the nest use it alike.
package monitor

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mayfly-vm/mayfly/bench/tap"
)

// Machine is what a monitor is asked to start.
type Machine struct {
	Kernel, Initrd, Cmdline string
	MiB, CPUs               int
	Load                    string // Mayfly's --load; "": its default
	Devices
}

// Devices are a machine's virtio devices.
type Devices struct {
	Disk  *Disk
	Tap   string // its name; Network is where it is
	Vsock string // path of the Unix socket; OwnSocket: one in the start's own directory
	RNG   bool
	// Network is a network namespace to start the monitor in; 0: ours.
	Network int
}

// OwnSocket stands for a socket that nobody else has to find.
const OwnSocket = "own"

// Disk is a raw image.
type Disk struct {
	Path             string
	Direct, ReadOnly bool
}

// CID is the guest's address on vsock.
const CID = 3

// Monitor is one program under comparison, in one way to use it.
type Monitor struct {
	Name string
	Path string
	Args func(m Machine, dir string) ([]string, error) // dir: for files it needs
	// Find is where guest/bench finds the devices, if the monitor doesn't.
	Find string
	// Linux are words that Linux's command line needs for the same.
	Linux string
	// Direct says that disks can go past the page cache, Vsock that there is one by a Unix socket.
	Direct, Vsock bool
}

// Before names an older version of Mayfly, measured next to this one.
const Before = "before"

// mayflyMMIO is where guest/bench finds Mayfly's virtio-mmio devices.
const mayflyMMIO = "mmio=0xfeb00000,512,8"

// Mayfly reports whether m is Mayfly, of this version or an older one.
func (m Monitor) Mayfly() bool {
	program, _, _ := strings.Cut(m.Name, ",")
	return program == "mayfly" || program == Before
}

// All are the monitors that paths names a program for, Mayfly first. The keys
// are "mayfly", "before" (an older version of it), "floor", "firecracker",
// "cloud-hypervisor" and "qemu".
func All(paths map[string]string) (list []Monitor) {
	for _, m := range []Monitor{
		{Name: "floor", Args: floor},
		{Name: "mayfly", Args: mayfly("")},
		{Name: Before, Args: mayfly("")},
		{Name: "firecracker", Args: firecracker("Sync")},
		{Name: "cloud-hypervisor", Args: cloudHypervisor},
		{Name: "qemu", Args: qemu(qemuKVM)},
	} {
		if m.Path = paths[m.Name]; m.Path != "" {
			list = append(list, m)
		}
	}
	return list
}

// Ways are the monitors in each way to use their devices.
func Ways(paths map[string]string) (list []Monitor) {
	for _, w := range []struct {
		program string
		Monitor
	}{
		{"mayfly", Monitor{Name: "mayfly, mmio", Args: mayfly("mmio"), Find: mayflyMMIO, Linux: "pci=conf1,noearly", Direct: true, Vsock: true}},
		{"mayfly", Monitor{Name: "mayfly, pci", Args: mayfly("pci"), Find: "pci", Direct: true, Vsock: true}},
		{Before, Monitor{Name: Before + ", mmio", Args: mayfly("mmio"), Find: mayflyMMIO, Linux: "pci=conf1,noearly", Direct: true, Vsock: true}},
		{Before, Monitor{Name: Before + ", pci", Args: mayfly("pci"), Find: "pci", Direct: true, Vsock: true}},
		{"firecracker", Monitor{Name: "firecracker, sync", Args: firecracker("Sync"), Linux: "pci=off", Vsock: true}},
		{"firecracker", Monitor{Name: "firecracker, async", Args: firecracker("Async"), Linux: "pci=off", Vsock: true}},
		{"cloud-hypervisor", Monitor{Name: "cloud-hypervisor", Args: cloudHypervisor, Find: "pci", Direct: true, Vsock: true}},
		{"qemu", Monitor{Name: "qemu", Args: qemu(qemuKVM), Find: "mmio=0xfeb00000,512,24", Linux: "pci=off", Direct: true}},
	} {
		if w.Path = paths[w.program]; w.Path != "" {
			list = append(list, w.Monitor)
		}
	}
	return list
}

// Software are the monitors that have a processor in software, with it: Mayfly and QEMU. khz is the
// frequency of the time stamp counter, which TCG passes on and tells no guest.
func Software(paths map[string]string, khz uint64) (list []Monitor) {
	for _, w := range []struct {
		program string
		Monitor
	}{
		{"mayfly", Monitor{Name: "mayfly --cpu=soft", Args: mayfly("", "--cpu=soft")}},
		{"qemu", Monitor{Name: "qemu, TCG", Args: qemu(qemuTCG), Linux: fmt.Sprintf("tsc_early_khz=%d", khz)}},
	} {
		if w.Path = paths[w.program]; w.Path != "" {
			list = append(list, w.Monitor)
		}
	}
	return list
}

func (d Devices) socket(dir string) string {
	if d.Vsock == OwnSocket {
		return filepath.Join(dir, "vsock")
	}
	return d.Vsock
}

func floor(m Machine, _ string) ([]string, error) {
	return []string{m.Kernel, strconv.Itoa(m.MiB)}, nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func mayfly(bus string, more ...string) func(Machine, string) ([]string, error) {
	return func(m Machine, dir string) ([]string, error) {
		a := []string{"run", m.Kernel, "--quiet", "--on-reboot", "exit", "--cmdline-only", m.Cmdline,
			"--memory", fmt.Sprintf("%dM", m.MiB), "--cpus", strconv.Itoa(m.CPUs)}
		a = append(a, more...)
		if m.Load != "" {
			a = append(a, "--load", m.Load)
		}
		if m.Initrd != "" {
			a = append(a, "--initrd", m.Initrd)
		}
		if bus != "" {
			a = append(a, "--bus", bus)
		}
		if d := m.Disk; d != nil {
			a = append(a, "--disk", fmt.Sprintf("%s,direct=%t,readonly=%t", d.Path, d.Direct, d.ReadOnly))
		}
		if m.Tap != "" {
			a = append(a, "--net", fmt.Sprintf("tap=%s,mac=%s", m.Tap, tap.GuestMAC))
		}
		if s := m.socket(dir); s != "" {
			a = append(a, "--vsock", fmt.Sprintf("path=%s,cid=%d", s, CID))
		}
		if m.RNG {
			a = append(a, "--rng")
		}
		return a, nil
	}
}
