package devices

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// TestNet lets the network driver use taps: one that this process serves, with a
// queue for each processor, and one that the host's kernel serves, with large
// frames. vhost-net does not know packed rings.
func TestNet(t *testing.T) {
	for _, v := range variants {
		t.Run(v.String(), func(t *testing.T) {
			first := vnet.Config{Tap: "mft0", MAC: "52:54:00:12:34:56", Queues: v.cpus, VHost: vnet.VHostOff}
			second := vnet.Config{Tap: "mft1", MAC: "52:54:00:12:34:57", MTU: 9000, VHost: vnet.VHostOn}
			if v.packed {
				second.VHost = vnet.VHostOff
			}
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{first, second}})
			expectDevices(t, g, v, "virtio_net", 2)
			for i, c := range []vnet.Config{first, second} {
				host, at, card := fmt.Sprintf("10.9.%d.1", i), fmt.Sprintf("10.9.%d.2", i), fmt.Sprintf("eth%d", i)
				ifconfig(t, c.Tap, host+"/24")
				g.asks("net", "if="+card, "addr="+at+"/24")
				g.asks("carrier", "if="+card, "state=1")
				queues, mtu, ping := v.cpus, 1500, 1472
				if i == 1 {
					queues, mtu, ping = 1, 9000, 8972
				}
				info := g.asks("netinfo", "if="+card)
				for name, want := range map[string]string{
					"address": c.MAC, "mtu": strconv.Itoa(mtu), "operstate": "up", "rxqueues": strconv.Itoa(queues), "txqueues": strconv.Itoa(queues),
					"tso": "1", "txcsum": "1", "rxcsum": "1", "sg": "1",
				} {
					if info[name] != want {
						t.Errorf("%s has %s %q, want %q", card, name, info[name], want)
					}
				}
				g.asks("ping", "addr="+host, "size="+strconv.Itoa(ping))
				pingGuest(t, at, ping, 3)
				bothWays(t, g, host, at, 4*mib)
				if got := g.asks("netinfo", "if="+card); got["rx_errors"] != "0" || got["tx_errors"] != "0" {
					t.Errorf("%s: errors: %s", card, quoted(got))
				}
			}
			g.silent()
			g.powersOff()
		})
	}
}

// TestNetTapDeleted deletes the interface while the guest sends: the link goes
// down, the monitor says why, and the machine lives on.
func TestNetTapDeleted(t *testing.T) {
	for _, way := range []vnet.VHost{vnet.VHostOff, vnet.VHostOn} {
		t.Run("vhost "+string(way), func(t *testing.T) {
			card := vnet.Config{Tap: "mft2", VHost: way}
			g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{card}})
			ifconfig(t, card.Tap, "10.9.2.1/24")
			g.asks("net", "if=eth0", "addr=10.9.2.2/24")
			g.asks("ping", "addr=10.9.2.1")
			deleteLink(t, card.Tap)
			g.asks("carrier", "if=eth0", "state=0")
			g.reports("mft2")
			g.asks("net", "if=eth0", "down")
			g.powersOff()
		})
	}
}

// TestNetCable pulls the cable and plugs it in again, restarts the guest, and
// pauses it while data flows.
func TestNetCable(t *testing.T) {
	for _, way := range []vnet.VHost{vnet.VHostOff, vnet.VHostOn} {
		t.Run("vhost "+string(way), func(t *testing.T) {
			card := vnet.Config{Tap: "mft3", VHost: way}
			g := boot(t, variant{smallKernel, mayfly.BusMMIO, false, 2}, mayfly.Config{Devices: []mayfly.DeviceConfig{card}})
			ifconfig(t, card.Tap, "10.9.3.1/24")
			g.asks("net", "if=eth0", "addr=10.9.3.2/24")
			g.asks("ping", "addr=10.9.3.1")
			if err := g.vm.SetLink("net 0", false); err != nil {
				t.Fatal(err)
			}
			g.asks("carrier", "if=eth0", "state=0")
			if err := g.vm.SetLink("net 0", true); err != nil {
				t.Fatal(err)
			}
			g.asks("carrier", "if=eth0", "state=1")
			g.out.Forget()
			g.begin("reboot")
			g.ready()
			g.asks("net", "if=eth0", "addr=10.9.3.2/24")
			g.asks("ping", "addr=10.9.3.1")
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Millisecond):
					}
					if err := g.vm.Pause(t.Context()); err != nil {
						t.Error(err)
					}
					if err := g.vm.Resume(); err != nil {
						t.Error(err)
					}
				}
			}()
			bothWays(t, g, "10.9.3.1", "10.9.3.2", 4*mib)
			close(stop)
			<-done
			g.silent()
			g.powersOff()
		})
	}
}

// TestNetLimits holds what a card sends to 1 MiB a second.
func TestNetLimits(t *testing.T) {
	limit := ratelimit.Config{Bandwidth: &ratelimit.Bucket{Size: mib, Refill: time.Second}}
	card := vnet.Config{Tap: "mft4", VHost: vnet.VHostOff, TX: limit, RX: limit}
	g := boot(t, small, mayfly.Config{Devices: []mayfly.DeviceConfig{card}})
	ifconfig(t, card.Tap, "10.9.4.1/24")
	g.asks("net", "if=eth0", "addr=10.9.4.2/24")
	begin := time.Now()
	bothWays(t, g, "10.9.4.1", "10.9.4.2", 2*mib) // two connections: 4 MiB each way
	if took := time.Since(begin); took < 2500*time.Millisecond {
		t.Errorf("4 MiB each way at 1 MiB/s took %v", took)
	}
	g.silent()
	g.powersOff()
}
