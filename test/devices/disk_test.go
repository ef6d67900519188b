package devices

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio/blk"
)

// TestDisk lets the block driver use all that a disk offers: a writable one by
// io_uring with a queue for each processor, one by threads past the page cache,
// and one that can only be read.
func TestDisk(t *testing.T) {
	for _, v := range variants {
		t.Run(v.String(), func(t *testing.T) {
			const size = 64 * mib
			first, second, third := imageOf(t, size), imageOf(t, size), imageOf(t, 8*mib)
			writeAt(t, first, 1, 4*mib, 4*mib)
			writeAt(t, third, 3, 0, 8*mib)
			one := blk.Config{Path: first, Serial: "first-of-three", Queues: v.cpus, Engine: blk.IOUring}
			two := blk.Config{Path: second, Serial: strings.Repeat("x", 20), Engine: blk.Threads, Direct: true, QueueSize: 64}
			three := blk.Config{Path: third, ReadOnly: true}
			g := boot(t, v, mayfly.Config{Devices: []mayfly.DeviceConfig{one, two, three}})
			expectDevices(t, g, v, "virtio_blk", 3)
			expectDisk(t, g.asks("disk", "dev=vda"), size, "first-of-three", "0", v.cpus)
			expectDisk(t, g.asks("disk", "dev=vdb"), size, strings.Repeat("x", 20), "0", 1)
			expectDisk(t, g.asks("disk", "dev=vdc"), 8*mib, "", "1", 1)

			// What is there already, and what is written: direct and by the guest's page
			// cache, many at a time.
			at := func(dev string, seed, off, n int, more ...string) []string {
				return append([]string{"path=/dev/" + dev, fmt.Sprintf("seed=%d", seed), fmt.Sprintf("off=%d", off), fmt.Sprintf("len=%d", n)}, more...)
			}
			if got, want := g.asks("check", at("vda", 1, 4*mib, 4*mib)...)["sha256"], sum(1, 4*mib, 4*mib); got != want {
				t.Errorf("the guest read %s, want %s", got, want)
			}
			if got, want := g.asks("check", at("vdc", 3, 0, 8*mib, "direct")...)["sha256"], sum(3, 0, 8*mib); got != want {
				t.Errorf("the guest read %s, want %s", got, want)
			}
			for dev, file := range map[string]string{"vda": first, "vdb": second} {
				g.asks("fill", at(dev, 5, 16*mib, 4*mib, "direct", "block=4096", "jobs=8")...)
				g.asks("fill", at(dev, 6, 24*mib, 8*mib, "direct", "block=1048576", "jobs=4")...)
				g.asks("fill", at(dev, 7, 40*mib, 4*mib)...)
				g.asks("fill", at(dev, 8, size-512, 512, "direct", "block=512")...)
				fileHas(t, file, 5, 16*mib, 4*mib)
				fileHas(t, file, 6, 24*mib, 8*mib)
				fileHas(t, file, 7, 40*mib, 4*mib)
				fileHas(t, file, 8, size-512, 512)
				g.asks("check", at(dev, 6, 24*mib, 8*mib, "direct", "jobs=8", "block=16384")...)
			}
			g.refuses("EPERM", "fill", at("vdc", 0, 0, mib)...)

			// Space that is given back is a hole, and zeroes are zeroes.
			before := blocks(t, first)
			g.asks("discard", at("vda", 0, 24*mib, 4*mib)...)
			g.asks("zero", at("vda", 0, 28*mib+512, mib)...)
			fileHasZeroes(t, first, 24*mib, 4*mib)
			fileHasZeroes(t, first, 28*mib+512, mib)
			fileHas(t, first, 6, 29*mib+512, 3*mib-512)
			fileHas(t, first, 6, 28*mib, 512)
			if after := blocks(t, first); after > before-4*mib/512 {
				t.Errorf("a discard of 4 MiB left %d of %d blocks", after, before)
			}

			// A disk that grows while it is used, and shrinks again.
			for _, n := range []int64{96 * mib, 48 * mib} {
				if err := os.Truncate(first, n); err != nil {
					t.Fatal(err)
				}
				if err := g.vm.RefreshDisk(one.DeviceName()); err != nil {
					t.Fatal(err)
				}
				g.asks("resized", "dev=vda", "size="+strconv.FormatInt(n, 10))
				g.asks("fill", at("vda", 9, int(n)-mib, mib, "direct")...)
				fileHas(t, first, 9, uint64(n)-mib, mib)
			}
			g.silent()
			g.powersOff()
		})
	}
}

// expectDisk compares what the kernel knows of a disk.
func expectDisk(t testing.TB, got map[string]string, size int, serial, ro string, queues int) {
	t.Helper()
	for name, want := range map[string]string{
		"size": strconv.Itoa(size), "serial": serial, "ro": ro, "queues": strconv.Itoa(queues), "logical": "512", "cache": "write back",
	} {
		if got[name] != want {
			t.Errorf("the guest's disk has %s %q, want %q", name, got[name], want)
		}
	}
}

// blocks is how much space a file takes, in sectors.
func blocks(t testing.TB, name string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks
}

// Feature bits that belong to the ring.
const (
	bitIndirect   = 28
	bitEventIndex = 29
	bitVersion1   = 32
	bitPacked     = 34
)

// expectDevices checks n devices of a driver: where they are, and which rings
// the driver took.
func expectDevices(t testing.TB, g *guest, v variant, driver string, n int) {
	t.Helper()
	got := g.asks("devices")
	found := 0
	for key, value := range got {
		name, field, _ := strings.Cut(key, ".")
		if field != "driver" || value != driver {
			continue
		}
		found++
		features, err := strconv.ParseUint(got[name+".features"], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		packed := features>>bitPacked&1 == 1
		if features>>bitVersion1&1 == 0 || features>>bitIndirect&1 == 0 || features>>bitEventIndex&1 == 0 || packed != v.packed {
			t.Errorf("%s: features %#x, with packed rings: %t", name, features, v.packed)
		}
		parent := got[name+".parent"]
		if pci := strings.HasPrefix(parent, "0000:00:"); pci != (v.bus == mayfly.BusPCI) {
			t.Errorf("%s sits at %q", name, parent)
		}
		if got[name+".status"] != "0x0000000f" {
			t.Errorf("%s has status %s", name, got[name+".status"])
		}
	}
	if found != n {
		t.Fatalf("the driver %s has %d devices, want %d: %v", driver, found, n, got)
	}
}
