package monitor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/mayfly-vm/mayfly/bench/tap"
)

// firecracker's engine is Sync, a thread that reads and writes, or Async: io_uring.
func firecracker(engine string) func(Machine, string) ([]string, error) {
	return func(m Machine, dir string) ([]string, error) {
		source := map[string]string{"kernel_image_path": m.Kernel, "boot_args": m.Cmdline}
		if m.Initrd != "" {
			source["initrd_path"] = m.Initrd
		}
		config := map[string]any{
			"boot-source":    source,
			"drives":         []any{},
			"machine-config": map[string]any{"vcpu_count": m.CPUs, "mem_size_mib": m.MiB},
		}
		if d := m.Disk; d != nil {
			config["drives"] = []any{map[string]any{"drive_id": "disk", "path_on_host": d.Path, "is_root_device": false,
				"is_read_only": d.ReadOnly, "io_engine": engine, "cache_type": "Writeback"}}
		}
		if m.Tap != "" {
			config["network-interfaces"] = []any{map[string]string{"iface_id": "net", "host_dev_name": m.Tap, "guest_mac": tap.GuestMAC}}
		}
		if s := m.socket(dir); s != "" {
			config["vsock"] = map[string]any{"guest_cid": CID, "uds_path": s}
		}
		if m.RNG {
			config["entropy"] = map[string]any{}
		}
		c, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, "firecracker.json")
		return []string{"--no-api", "--level", "Error", "--config-file", path}, os.WriteFile(path, c, 0o600)
	}
}

// cloudHypervisor always has a source of entropy.
func cloudHypervisor(m Machine, dir string) ([]string, error) {
	a := []string{"--kernel", m.Kernel, "--cmdline", m.Cmdline, "--memory", fmt.Sprintf("size=%dM", m.MiB),
		"--cpus", "boot=" + strconv.Itoa(m.CPUs), "--serial", "tty", "--console", "off"}
	if m.Initrd != "" {
		a = append(a, "--initramfs", m.Initrd)
	}
	if d := m.Disk; d != nil {
		a = append(a, "--disk", fmt.Sprintf("path=%s,image_type=raw,direct=%s,readonly=%s", d.Path, onOff(d.Direct), onOff(d.ReadOnly)))
	}
	if m.Tap != "" {
		a = append(a, "--net", fmt.Sprintf("tap=%s,mac=%s", m.Tap, tap.GuestMAC))
	}
	if s := m.socket(dir); s != "" {
		a = append(a, "--vsock", fmt.Sprintf("cid=%d,socket=%s", CID, s))
	}
	return a, nil
}

// Parts of QEMU's command line: on KVM with as few devices as will do, and on its own processor, TCG, which needs the devices that Linux
// measures its clocks with.
var (
	qemuKVM = []string{"-M", "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on,auto-kernel-cmdline=off", "-accel", "kvm", "-cpu", "qemu64"}
	qemuTCG = []string{"-M", "microvm,x-option-roms=off,pit=on,pic=on,rtc=on,isa-serial=on,auto-kernel-cmdline=off", "-accel", "tcg", "-cpu", TCGProcessor}
)

// TCGProcessor is QEMU's -cpu that has what the software processor has, as far as TCG can: x86-64-v2, AES, PCLMULQDQ, MOVBE, RDRAND and SMEP.
const TCGProcessor = "Westmere,-spec-ctrl,+movbe,+rdrand,+smep,+erms"

// qemu has no vsock without the host's vhost-vsock: it is left out.
func qemu(processor []string) func(Machine, string) ([]string, error) {
	return func(m Machine, _ string) ([]string, error) {
		a := append(slices.Clone(processor), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
			"-m", strconv.Itoa(m.MiB), "-smp", strconv.Itoa(m.CPUs), "-kernel", m.Kernel, "-append", m.Cmdline, "-global", "virtio-mmio.force-legacy=false")
		if m.Initrd != "" {
			a = append(a, "-initrd", m.Initrd)
		}
		if d := m.Disk; d != nil {
			a = append(a, "-object", "iothread,id=thread", "-device", "virtio-blk-device,drive=disk,iothread=thread",
				"-drive", fmt.Sprintf("if=none,id=disk,format=raw,file=%s,aio=io_uring,cache.direct=%s,readonly=%s", d.Path, onOff(d.Direct), onOff(d.ReadOnly)))
		}
		if m.Tap != "" {
			a = append(a, "-netdev", fmt.Sprintf("tap,id=net,ifname=%s,script=no,downscript=no,vhost=off", m.Tap), "-device", "virtio-net-device,netdev=net,mac="+tap.GuestMAC)
		}
		if m.RNG {
			a = append(a, "-device", "virtio-rng-device")
		}
		return a, nil
	}
}
