package flags

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// TestRing: ring=packed reaches the machine for each kind of device, and no other value
// does.
func TestRing(t *testing.T) {
	for _, ring := range []string{"", "ring=split", "ring=packed"} {
		disk, net := Device[blk.Config]{}, Device[vnet.Config]{}
		socket, entropy := &Device[vsock.Config]{}, &Device[rng.Config]{}
		with := func(s string) string { return strings.Trim(s+","+ring, ",") }
		if err := errors.Join(diskKeys(&disk).Set(with("ring.go")), netKeys(&net).Set(with("tap=t")), vsockKeys(socket).Set(with("v")), rngKeys(entropy).Set(with(""))); err != nil {
			t.Fatal(err)
		}
		o := &Run{Disks: []Device[blk.Config]{disk}, Nets: []Device[vnet.Config]{net}, Vsock: socket, RNG: entropy}
		var types []virtio.Type
		for _, c := range o.deviceConfigs(nil) {
			types = append(types, c.DeviceType())
			if _, packed := virtio.As[virtio.Packed](c); packed != (ring == "ring=packed") {
				t.Errorf("%q: packed virtqueues %v for %s", ring, packed, c.DeviceName())
			}
		}
		if want := []virtio.Type{virtio.TypeBlock, virtio.TypeNet, virtio.TypeVsock, virtio.TypeEntropy}; !slices.Equal(types, want) {
			t.Errorf("devices of types %v, want %v", types, want)
		}
	}
	for keys, err := range map[string]error{
		"vhost,ring=packed":        vsockKeys(&Device[vsock.Config]{}).Set("vhost,ring=packed"),
		"tap,vhost=on,ring=packed": netKeys(&Device[vnet.Config]{}).Set("tap,vhost=on,ring=packed"),
	} {
		if err == nil || !strings.Contains(err.Error(), "packed virtqueues") || strings.Contains(err.Error(), "vsock: ") || strings.Contains(err.Error(), "net: ") {
			t.Errorf("%s: %v", keys, err)
		}
	}
	if err := rngKeys(&Device[rng.Config]{}).Set("ring=round"); err == nil || !strings.Contains(err.Error(), "split and packed") {
		t.Errorf("ring=round: %v", err)
	}
}
