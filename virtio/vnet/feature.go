package vnet

import (
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Features of a network device (section 5.1.3).
const (
	FeatureCSUM          virtio.Feature = 1 << 0 // the driver may leave checksums undone
	FeatureGuestCSUM     virtio.Feature = 1 << 1 // the device may
	FeatureGuestOffloads virtio.Feature = 1 << 2 // which, by the control queue
	FeatureMTU           virtio.Feature = 1 << 3
	FeatureMAC           virtio.Feature = 1 << 5
	FeatureGuestTSO4     virtio.Feature = 1 << 7 // the device may give segments that are too long
	FeatureGuestTSO6     virtio.Feature = 1 << 8
	FeatureGuestECN      virtio.Feature = 1 << 9
	FeatureHostTSO4      virtio.Feature = 1 << 11 // the driver may
	FeatureHostTSO6      virtio.Feature = 1 << 12
	FeatureHostECN       virtio.Feature = 1 << 13
	FeatureMergeable     virtio.Feature = 1 << 15 // a frame may span several chains
	FeatureStatus        virtio.Feature = 1 << 16
	FeatureControl       virtio.Feature = 1 << 17
	FeatureControlRX     virtio.Feature = 1 << 18
	FeatureControlRXMore virtio.Feature = 1 << 20
	FeatureAnnounce      virtio.Feature = 1 << 21
	FeatureQueues        virtio.Feature = 1 << 22
	FeatureControlMAC    virtio.Feature = 1 << 23
	FeatureGuestUSO4     virtio.Feature = 1 << 54
	FeatureGuestUSO6     virtio.Feature = 1 << 55
	FeatureHostUSO       virtio.Feature = 1 << 56
	FeatureSpeed         virtio.Feature = 1 << 63

	// guestOffloads are those that the driver switches by the control queue.
	guestOffloads = FeatureGuestCSUM | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureGuestECN | FeatureGuestUSO4 | FeatureGuestUSO6
)

// offloads maps a tap's offloads to what the driver may then get and give. UFO,
// which Linux gave up in 4.14, is not among them.
var offloads = []struct {
	tap         uint
	guest, host virtio.Feature
}{
	{tap.OffloadCSUM, FeatureGuestCSUM, FeatureCSUM},
	{tap.OffloadTSO4, FeatureGuestTSO4, FeatureHostTSO4},
	{tap.OffloadTSO6, FeatureGuestTSO6, FeatureHostTSO6},
	{tap.OffloadECN, FeatureGuestECN, FeatureHostECN},
	{tap.OffloadUSO4, FeatureGuestUSO4, FeatureHostUSO},
	{tap.OffloadUSO6, FeatureGuestUSO6, FeatureHostUSO},
}

// offered are the features of a tap with offloads o.
func offered(o uint) (f virtio.Feature) {
	for _, m := range offloads {
		if o&m.tap != 0 {
			f |= m.guest | m.host
		}
	}
	return f
}

// tapOffloads is what the tap may leave undone for a driver that takes f. Nothing
// goes without checksums: Linux refuses it.
func tapOffloads(f virtio.Feature) (o uint) {
	if !f.Has(FeatureGuestCSUM) {
		return 0
	}
	for _, m := range offloads {
		if f.Has(m.guest) {
			o |= m.tap
		}
	}
	if o&(tap.OffloadTSO4|tap.OffloadTSO6) == 0 {
		o &^= tap.OffloadECN
	}
	if both := uint(tap.OffloadUSO4 | tap.OffloadUSO6); o&both != both {
		o &^= both // Linux wants both or none
	}
	return o
}
