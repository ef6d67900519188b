package vhost

import (
	"testing"
	"unsafe"

	"github.com/mayfly-vm/mayfly/internal/headertest"
)

// TestConstantsMatchHeaders compares every number and layout written out in this
// package with those of the kernel header.
func TestConstantsMatchHeaders(t *testing.T) {
	headertest.Compare(t, "linux/vhost.h", map[string]uint64{
		"VHOST_GET_FEATURES": getFeatures, "VHOST_SET_FEATURES": setFeatures, "VHOST_SET_OWNER": setOwner, "VHOST_SET_MEM_TABLE": setMemTable,
		"VHOST_SET_VRING_NUM": setVringNum, "VHOST_SET_VRING_ADDR": setVringAddr, "VHOST_SET_VRING_BASE": setVringBase, "VHOST_GET_VRING_BASE": getVringBase,
		"VHOST_SET_VRING_KICK": setVringKick, "VHOST_SET_VRING_CALL": setVringCall, "VHOST_SET_VRING_ERR": setVringErr,
		"VHOST_NET_SET_BACKEND":     netSetBackend,
		"VHOST_VSOCK_SET_GUEST_CID": vsockSetCID, "VHOST_VSOCK_SET_RUNNING": vsockSetRunning,
		"1 << VHOST_NET_F_VIRTIO_NET_HDR":                      FeatureNetHeader,
		"sizeof(struct vhost_vring_state)":                     uint64(unsafe.Sizeof(vringState{})),
		"sizeof(struct vhost_vring_file)":                      uint64(unsafe.Sizeof(vringFile{})),
		"sizeof(struct vhost_vring_addr)":                      uint64(unsafe.Sizeof(vringAddr{})),
		"offsetof(struct vhost_vring_addr, used_user_addr)":    uint64(unsafe.Offsetof(vringAddr{}.used)),
		"sizeof(struct vhost_memory)":                          uint64(unsafe.Sizeof(memHeader{})),
		"sizeof(struct vhost_memory_region)":                   uint64(unsafe.Sizeof(memRegion{})),
		"offsetof(struct vhost_memory_region, userspace_addr)": uint64(unsafe.Offsetof(memRegion{}.user)),
	})
}
