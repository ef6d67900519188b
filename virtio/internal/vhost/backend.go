package vhost

import "fmt"

// FeatureNetHeader, VHOST_NET_F_VIRTIO_NET_HDR, makes the kernel put and eat the
// header in front of frames itself: for a tap without IFF_VNET_HDR.
const FeatureNetHeader = 1 << 27

// NetSetBackend makes queue i (0 receives, 1 transmits) move frames of fd, a tap's
// queue; -1 ends that, and returns when no frame is under way any more.
func (d *Device) NetSetBackend(i, fd int) error {
	f := vringFile{uint32(i), int32(fd)}
	return d.ptr(netSetBackend, "VHOST_NET_SET_BACKEND", pointer(&f))
}

// VsockSetGuestCID gives the guest its address. The error is EADDRINUSE when
// another machine of this host has it.
func (d *Device) VsockSetGuestCID(cid uint64) error {
	err := d.ptr(vsockSetCID, "VHOST_VSOCK_SET_GUEST_CID", pointer(&cid))
	if err != nil {
		return fmt.Errorf("guest CID %d: %w", cid, err)
	}
	return nil
}

// VsockSetRunning begins the work on queues 0 (receives) and 1 (transmits), or
// ends it.
func (d *Device) VsockSetRunning(run bool) error {
	var v int32
	if run {
		v = 1
	}
	return d.ptr(vsockSetRunning, "VHOST_VSOCK_SET_RUNNING", pointer(&v))
}
