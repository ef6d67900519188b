package vhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"
)

// TestConstantsMatchHeaders compares every number and size written out in this
// package with the kernel headers' view of it.
func TestConstantsMatchHeaders(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler (cc) on this machine to read linux/vhost.h with")
	}
	want := map[string]uint64{
		"VHOST_GET_FEATURES": getFeatures, "VHOST_SET_FEATURES": setFeatures, "VHOST_SET_OWNER": setOwner, "VHOST_SET_MEM_TABLE": setMemTable,
		"VHOST_SET_VRING_NUM": setVringNum, "VHOST_SET_VRING_ADDR": setVringAddr, "VHOST_SET_VRING_BASE": setVringBase, "VHOST_GET_VRING_BASE": getVringBase,
		"VHOST_SET_VRING_KICK": setVringKick, "VHOST_SET_VRING_CALL": setVringCall, "VHOST_SET_VRING_ERR": setVringErr,
		"VHOST_SET_VRING_BUSYLOOP_TIMEOUT": setBusyLoop, "VHOST_NET_SET_BACKEND": netSetBackend,
		"VHOST_VSOCK_SET_GUEST_CID": vsockSetCID, "VHOST_VSOCK_SET_RUNNING": vsockSetRunning,
		"1 << VHOST_NET_F_VIRTIO_NET_HDR":                      FeatureNetHeader,
		"sizeof(struct vhost_vring_state)":                     uint64(unsafe.Sizeof(vringState{})),
		"sizeof(struct vhost_vring_file)":                      uint64(unsafe.Sizeof(vringFile{})),
		"sizeof(struct vhost_vring_addr)":                      uint64(unsafe.Sizeof(vringAddr{})),
		"offsetof(struct vhost_vring_addr, used_user_addr)":    uint64(unsafe.Offsetof(vringAddr{}.used)),
		"sizeof(struct vhost_memory)":                          uint64(unsafe.Sizeof(memHeader{})),
		"sizeof(struct vhost_memory_region)":                   uint64(unsafe.Sizeof(memRegion{})),
		"offsetof(struct vhost_memory_region, userspace_addr)": uint64(unsafe.Offsetof(memRegion{}.user)),
	}
	dir := t.TempDir()
	var src strings.Builder
	src.WriteString("#include <linux/vhost.h>\n#include <stdio.h>\n#include <stddef.h>\nint main(void){\n")
	for n := range want {
		fmt.Fprintf(&src, "printf(\"%%s=%%lu\\n\", %q, (unsigned long)(%s));\n", n, n)
	}
	src.WriteString("return 0;}\n")
	c, bin := filepath.Join(dir, "c.c"), filepath.Join(dir, "c")
	if err := os.WriteFile(c, []byte(src.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", bin, c).CombinedOutput(); err != nil {
		if strings.Contains(string(out), "linux/vhost.h") {
			t.Skip("no linux/vhost.h on this machine (package linux-libc-dev)")
		}
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		i := strings.LastIndexByte(line, '=')
		var got uint64
		fmt.Sscan(line[i+1:], &got)
		if name := line[:i]; got != want[name] {
			t.Errorf("%s is %#x in the headers, %#x here", name, got, want[name])
		}
	}
	if len(lines) != len(want) {
		t.Errorf("the headers told %d of %d numbers", len(lines), len(want))
	}
}
