package qcow2_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
)

// TestEndInCluster: a file that ends inside its last cluster reads as zeroes there,
// and nowhere else.
func TestEndInCluster(t *testing.T) {
	const kept = 1000
	be := binary.BigEndian
	dir := t.TempDir()
	s := spec{data: map[int][]byte{3: fill(3, cluster)}, change: func(b []byte) {
		be.PutUint64(b[2*cluster+8*5:], uint64(4*cluster)|1<<63) // data after the last cluster
	}}
	write(t, filepath.Join(dir, "base.qcow2"), s.bytes()[:3*cluster+kept])
	top := write(t, filepath.Join(dir, "top.qcow2"), spec{backing: "base.qcow2", format: "qcow2", data: map[int][]byte{0: fill(8, cluster)}}.bytes()[:3*cluster+7])
	want := append(fill(3, kept), make([]byte, cluster-kept)...)
	for _, path := range []string{filepath.Join(dir, "base.qcow2"), top} {
		img, err := disk.Open(disk.Options{Path: path, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off < cluster; off += 512 {
			for _, n := range []int{512, 4096, cluster} {
				n = min(n, cluster-off)
				if got, err := read(img, 3*cluster+off, n); err != nil || !bytes.Equal(got, want[off:off+n]) {
					t.Fatalf("%s: %d bytes at %d: %d, %v", path, n, off, len(got), err)
				}
			}
		}
		if got, err := read(img, 5*cluster, 512); err == nil {
			t.Errorf("%s: a cluster after the file's end reads as %v", path, got[:8])
		}
		// Nor do zeroes stand for it in a longer read.
		if got, err := read(img, 4*cluster, 3*cluster); len(got) > cluster || err == nil && len(got) == 0 {
			t.Errorf("%s: %d bytes over a cluster after the file's end, %v", path, len(got), err)
		}
		if path == top {
			if got, err := read(img, 0, cluster); err != nil || !bytes.Equal(got, append(fill(8, 7), make([]byte, cluster-7)...)) {
				t.Errorf("the upper file's last cluster: %d bytes, %v", len(got), err)
			}
		}
		img.Close()
	}
	// A table whose end is missing does not say that nothing is there.
	for _, end := range []int{8 * 100, cluster - 8} {
		img, err := open(write(t, filepath.Join(dir, "table"), spec{}.bytes()[:2*cluster+end]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := read(img, 0, 512); err == nil {
			t.Errorf("an L2 table of %d bytes was believed", end)
		}
		img.Close()
	}
}

// TestBackingFIFO: nobody waits at a FIFO, whether it stands there from the start or
// takes a file's place while that is opened.
func TestBackingFIFO(t *testing.T) {
	dir := t.TempDir()
	base, fifo := filepath.Join(dir, "base"), filepath.Join(dir, "fifo")
	write(t, base, fill(9, cluster))
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(name string) disk.Options {
		return disk.Options{Path: write(t, filepath.Join(dir, "on-"+name), spec{backing: name, format: "raw"}.bytes()), Format: disk.QCOW2, ReadOnly: true, Backing: dir}
	}
	on := at("fifo")
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := disk.Open(on); err == nil || !strings.Contains(err.Error(), "backing file fifo: is a pipe") {
			t.Errorf("a FIFO: %v", err)
		}
		opened, refused := 0, 0
		o := at("base")
		stop, swapped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(swapped)
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, base, unix.AT_FDCWD, fifo, unix.RENAME_EXCHANGE)
				}
			}
		}()
		for begin := time.Now(); opened+refused < 2000 && time.Since(begin) < 5*time.Second; {
			img, err := disk.Open(o)
			if err != nil {
				refused++
				continue
			}
			opened++
			if got, err := read(img, 0, 512); err != nil || !bytes.Equal(got, fill(9, 512)) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
			img.Close()
		}
		close(stop)
		<-swapped
		t.Logf("%d opened, %d refused", opened, refused)
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		for _, p := range []string{base, fifo} { // let it go
			if f, err := os.OpenFile(p, os.O_RDWR, 0); err == nil {
				f.Close()
			}
		}
		t.Fatal("an open waits at the FIFO")
	}
}
