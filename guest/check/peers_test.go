package check_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/guest/check"
)

// What Firecracker 1.17 gets wrong: it puts the PCI window in front of RAM in the map and leaves rsdp_paddr 0.
var firecrackerFails = map[string]bool{
	"memory map: sorted, no two entries overlap":                         true,
	"start info names the RSDP":                                          true,
	"CPUID leaf 0x40000010 has the frequencies of TSC and APIC":          true,
	"COM1 interrupts when that is enabled while nothing is left to send": true,
}

// What Cloud Hypervisor 53 gets wrong. Both take their serial port from rust-vmm.
var cloudHypervisorFails = map[string]bool{
	"COM1 interrupts when that is enabled while nothing is left to send": true,
}

const (
	peerMemory = 256 << 20
	peerCPUs   = 2
)

// peer returns the program that the environment names, or skips.
func peer(t *testing.T, variable string) string {
	t.Helper()
	name := os.Getenv(variable)
	if name == "" {
		t.Skipf("%s is not set to the path of the program", variable)
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs KVM: %v", err)
	}
	f.Close()
	return name
}

// guestFiles writes the guest and an initrd, and returns their names and the command line that goes with them.
func guestFiles(t *testing.T) (kernel, initrd, cmdline string) {
	t.Helper()
	content := bytes.Repeat([]byte("mayfly"), 3001)
	kernel, initrd = filepath.Join(t.TempDir(), "check.elf"), filepath.Join(t.TempDir(), "initrd")
	for name, b := range map[string][]byte{kernel: check.ELF, initrd: content} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return kernel, initrd, check.Cmdline(check.Options{Memory: peerMemory, CPUs: peerCPUs, Modules: []uint32{check.Sum(content)}})
}

func runPeer(t *testing.T, known map[string]bool, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	r, err := check.Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect(t, r, known)
}

func TestPointsOnFirecracker(t *testing.T) {
	name := peer(t, "MAYFLY_BENCH_FIRECRACKER")
	kernel, initrd, cmdline := guestFiles(t)
	config, err := json.Marshal(map[string]any{
		"boot-source":    map[string]any{"kernel_image_path": kernel, "initrd_path": initrd, "boot_args": cmdline},
		"machine-config": map[string]any{"vcpu_count": peerCPUs, "mem_size_mib": peerMemory >> 20},
		"drives":         []any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(file, config, 0o644); err != nil {
		t.Fatal(err)
	}
	runPeer(t, firecrackerFails, name, "--no-api", "--config-file", file)
}

func TestPointsOnCloudHypervisor(t *testing.T) {
	name := peer(t, "MAYFLY_BENCH_CLOUD_HYPERVISOR")
	kernel, initrd, cmdline := guestFiles(t)
	runPeer(t, cloudHypervisorFails, name, "--kernel", kernel, "--initramfs", initrd, "--cmdline", cmdline,
		"--cpus", "boot=2", "--memory", "size=256M", "--serial", "tty", "--console", "off")
}
