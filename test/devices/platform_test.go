package devices

import (
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/smbios"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// plain are variants for what is no virtio device.
var plain = []variant{{smallKernel, mayfly.BusMMIO, false, 2}, {debianKernel, mayfly.BusPCI, false, 1}}

// TestConfiguredDevices makes all devices by a Config's own fields and checks
// whether each has found its driver.
func TestConfiguredDevices(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			image := imageOf(t, 8*mib)
			writeAt(t, image, 1, 0, mib)
			g := boot(t, v, mayfly.Config{
				Devices: []mayfly.DeviceConfig{
					blk.Config{Path: image, Serial: "one"},
					vnet.Config{Name: "a", Tap: "mft7", VHost: vnet.VHostOff}, vnet.Config{Name: "b", Tap: "mft8"},
					vsock.Config{Path: socketPath(t)}, rng.Config{},
					console.Config{Ports: []console.Port{{Console: true}, {Name: "log", File: filepath.Join(t.TempDir(), "log")}}},
				},
			})
			for driver, n := range map[string]int{"virtio_blk": 1, "virtio_net": 2, "vmw_vsock_virtio_transport": 1, "virtio_rng": 1, "virtio_console": 1} {
				expectDevices(t, g, v, driver, n)
			}
			g.asks("check", "path=/dev/vda", "seed=1", "direct")
			ifconfig(t, "mft7", "10.9.7.1/24")
			g.asks("net", "if=eth0", "addr=10.9.7.2/24")
			g.asks("ping", "addr=10.9.7.1")
			expectEntropy(t, g)
			g.silent()
			g.powersOff()
		})
	}
}

// TestIdentity reads the SMBIOS tables as Linux does, also when their strings are
// too long for the place where they usually are.
func TestIdentity(t *testing.T) {
	for i, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			oem := []string{"first", strings.Repeat("long ", 10+6000*i) + "second"}
			g := boot(t, v, mayfly.Config{SMBIOS: &smbios.Config{
				Serial: "M-0815", Product: "thing", AssetTag: "tag", OEM: oem,
				UUID: [16]byte{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00},
			}})
			got := g.asks("dmi")
			for name, want := range map[string]string{
				"sys_vendor": "Mayfly", "product_name": "thing", "product_serial": "M-0815", "product_uuid": "123e4567-e89b-12d3-a456-426614174000",
				"chassis_asset_tag": "tag",
			} {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			raw := g.asks("cat", "path=/sys/firmware/dmi/entries/11-0/raw")["base64"]
			b, err := base64.StdEncoding.DecodeString(raw)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Join(oem, "\x00") + "\x00\x00"; !strings.HasSuffix(string(b), want) {
				t.Errorf("the OEM strings are %.60q…, %d bytes", b, len(b))
			}
			g.silent()
			g.powersOff()
		})
	}
}

// TestPanicDevice checks that Linux has found it, and lets the kernel panic.
func TestPanicDevice(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			g := boot(t, v, mayfly.Config{})
			at := g.asks("glob", "path=/sys/bus/platform/drivers/pvpanic-mmio/QEMU0001:*/capability")["paths"]
			if at == "" {
				t.Fatalf("pvpanic-mmio has no device: %s", g.asks("glob", "path=/sys/bus/platform/drivers/pvpanic-mmio/*")["paths"])
			}
			b, _ := base64.StdEncoding.DecodeString(g.asks("cat", "path="+at)["base64"])
			if got := strings.TrimSpace(string(b)); got == "" || got == "0" {
				t.Errorf("its events are %q", got)
			}
			g.begin("panic")
			g.ends(mayfly.Panicked)
		})
	}
}

// TestWatchdog starts it, feeds it once and then not, or stops it in time.
func TestWatchdog(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			g := boot(t, v, mayfly.Config{Watchdog: mayfly.WatchdogRestart})
			stopped := g.asks("watchdog", "timeout=2", "stop")
			if stopped["timeout"] != "2" {
				t.Errorf("the watchdog has %v", stopped)
			}
			begin := time.Now()
			g.asks("sleep", "ms=3000") // longer than the watchdog's patience
			g.out.Forget()
			g.asks("watchdog", "timeout=2")
			g.out.Forget()
			g.ready()
			if took := time.Since(begin); took < 5*time.Second {
				t.Errorf("reset after %v", took)
			}
			g.reports("watchdog", "silent")
			g.powersOff()
		})
	}
	t.Run("exit", func(t *testing.T) {
		g := boot(t, small, mayfly.Config{Watchdog: mayfly.WatchdogExit})
		g.asks("watchdog", "timeout=1")
		if o := g.ends(mayfly.Hung); o.Detail == "" {
			t.Error("the outcome says nothing of why")
		}
	})
}

// TestGenerationID checks that Linux has found the device.
func TestGenerationID(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			g := boot(t, v, mayfly.Config{})
			if got := g.asks("glob", "path=/sys/bus/*/drivers/vmgenid/*:*")["paths"]; got == "" {
				t.Errorf("vmgenid has no device: %s", g.asks("glob", "path=/sys/bus/*/drivers/vmgenid/*")["paths"])
			}
			g.silent()
			g.powersOff()
		})
	}
}

// TestDevicesOnCommandLine boots without ACPI: the kernel's command line describes
// the devices then.
func TestDevicesOnCommandLine(t *testing.T) {
	image := imageOf(t, 8*mib)
	writeAt(t, image, 1, 0, mib)
	v := variant{smallKernel, mayfly.BusMMIO, false, 1}
	g := boot(t, v, mayfly.Config{
		Devices: []mayfly.DeviceConfig{blk.Config{Path: image}, vnet.Config{Tap: "mft9", VHost: vnet.VHostOff}, rng.Config{}},
		Cmdline: cmdline(v.bus, "acpi=off"),
	})
	expectDevices(t, g, v, "virtio_blk", 1)
	expectDevices(t, g, v, "virtio_net", 1)
	g.asks("check", "path=/dev/vda", "seed=1", "direct")
	g.asks("fill", "path=/dev/vda", "seed=2", "direct", "jobs=4", "block=4096")
	fileHas(t, image, 2, 0, mib)
	expectEntropy(t, g)
	ifconfig(t, "mft9", "10.9.9.1/24")
	g.asks("net", "if=eth0", "addr=10.9.9.2/24")
	g.asks("ping", "addr=10.9.9.1")
	g.silent()
	if err := g.vm.Kill(); err != nil {
		t.Fatal(err)
	}
	g.ends(mayfly.Killed)
}
