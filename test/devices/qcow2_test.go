package devices

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/disk"
	_ "github.com/mayfly-vm/mayfly/disk/qcow2"
	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
	"github.com/mayfly-vm/mayfly/virtio/blk"
)

// cluster is the size of a qcow2 image's clusters.
const cluster = 64 * kib

// overlay is a qcow2 image of 1 MiB over a raw backing file, version 3: header, L1
// table and L2 table, a cluster each, then data for some of its clusters, of the
// pattern seed.
func overlay(backing string, seed uint64, has ...int) []byte {
	be := binary.BigEndian
	b := make([]byte, 3*cluster)
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint64(b[8:], 1024) // where the backing file's name is
	be.PutUint32(b[16:], uint32(copy(b[1024:], backing)))
	be.PutUint32(b[20:], 16) // bits of a cluster
	be.PutUint64(b[24:], mib)
	be.PutUint32(b[36:], 1) // entries of L1
	be.PutUint64(b[40:], cluster)
	be.PutUint32(b[96:], 4)           // order of reference counts
	be.PutUint32(b[100:], 104)        // length of the header
	be.PutUint32(b[104:], 0xe2792aca) // the backing file's format
	be.PutUint32(b[108:], uint32(copy(b[112:], "raw")))
	const copied = 1 << 63
	be.PutUint64(b[cluster:], 2*cluster|copied)
	for _, i := range has {
		be.PutUint64(b[2*cluster+8*i:], uint64(len(b))|copied)
		b = append(b, ask.Pattern(seed, uint64(i*cluster), cluster)...)
	}
	return b
}

// TestDiskQcow2 reads an image whose clusters lie in two files.
func TestDiskQcow2(t *testing.T) {
	base := imageOf(t, mib)
	writeAt(t, base, 1, 0, mib)
	top := filepath.Join(filepath.Dir(base), "top.qcow2")
	if err := os.WriteFile(top, overlay(filepath.Base(base), 2, 1, 3, 15), 0o600); err != nil {
		t.Fatal(err)
	}
	d := blk.Config{Path: top, Format: disk.QCOW2, ReadOnly: true}
	g := launch(t, variant{smallKernel, mayfly.BusPCI, true, 2}, mayfly.Config{Devices: []mayfly.DeviceConfig{d}}, embedded) // only this program knows qcow2
	g.ready()
	for i := range mib / cluster {
		seed := uint64(1)
		if i == 1 || i == 3 || i == 15 {
			seed = 2
		}
		at := []string{"path=/dev/vda", "direct", "block=4096", fmt.Sprintf("seed=%d", seed), fmt.Sprintf("off=%d", i*cluster), fmt.Sprintf("len=%d", cluster)}
		if got := g.asks("check", at...)["sha256"]; got != sum(seed, uint64(i*cluster), cluster) {
			t.Errorf("cluster %d has SHA-256 %s", i, got)
		}
	}
	g.silent()
	g.powersOff()
}
