package devices

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// TestHostileGuest takes the drivers away, writes nonsense to each register of each
// device, ioeventfds and interrupt tables among them, and gives the drivers back:
// the monitor is there, and the next request works.
func TestHostileGuest(t *testing.T) {
	for _, v := range []variant{{smallKernel, mayfly.BusPCI, false, 1}, {smallKernel, mayfly.BusPCI, true, 4}} {
		t.Run(v.String(), func(t *testing.T) {
			image := imageOf(t, 16*mib)
			writeAt(t, image, 1, 0, mib)
			path := socketPath(t)
			g := boot(t, v, mayfly.Config{
				Devices: []mayfly.DeviceConfig{
					blk.Config{Path: image}, vnet.Config{Tap: "mfth", VHost: vnet.VHostOff}, vsock.Config{Path: path}, rng.Config{},
				},
			})
			const devices = 4
			for round := range 3 {
				for i := 1; i <= devices; i++ {
					address := fmt.Sprintf("0000:00:%02x.0", i)
					write := func(file, what string) {
						t.Helper()
						g.asks("write", "path="+file, "base64="+base64.StdEncoding.EncodeToString([]byte(what)))
					}
					write("/sys/bus/pci/drivers/virtio-pci/unbind", address)
					write("/sys/bus/pci/devices/"+address+"/enable", "1")
					bars := strings.Fields(g.asks("glob", "path=/sys/bus/pci/devices/"+address+"/resource?")["paths"])
					if len(bars) == 0 {
						t.Fatalf("%s has no BAR", address)
					}
					for _, bar := range bars {
						g.asks("scribble", "path="+bar, "count=2000", fmt.Sprintf("seed=%d", 10*round+i))
					}
					write("/sys/bus/pci/devices/"+address+"/enable", "0")
					write("/sys/bus/pci/drivers/virtio-pci/bind", address)
				}
				g.asks("check", "path=/dev/vda", "seed=1", "direct")
				g.asks("fill", "path=/dev/vda", "off=4194304", fmt.Sprintf("seed=%d", 20+round), "direct", "jobs=8", "block=4096")
				fileHas(t, image, uint64(20+round), 4*mib, mib)
				fileHas(t, image, 1, 0, mib)
				expectEntropy(t, g)
				ifconfig(t, "mfth", "10.9.8.1/24")
				g.asks("net", "if=eth0", "addr=10.9.8.2/24")
				g.asks("ping", "addr=10.9.8.1")
				exchange(t, g, path, 1, mib)
			}
			for _, name := range []string{"disk ", "net ", "vsock", "rng"} {
				g.reports(name, "outside guest memory", "needs a reset")
			}
			t.Log(g.reported)
			g.powersOff()
		})
	}
}
