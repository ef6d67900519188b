package disk_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
)

// TestMain holds a file open for TestLockHolder when the environment says so.
func TestMain(m *testing.M) {
	if path := os.Getenv("MAYFLY_TEST_HOLD"); path != "" {
		if _, err := disk.Open(disk.Options{Path: path}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func file(t *testing.T, name, data string, size int64) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if size > 0 {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestErrors(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	loop := filepath.Join(t.TempDir(), "loop")
	os.Symlink(loop, loop)
	for _, x := range []struct {
		o    disk.Options
		want string
	}{
		{disk.Options{}, "path is empty"},
		{disk.Options{Path: "/nonexistent"}, "no such file"},
		{disk.Options{Path: t.TempDir()}, "is a directory"},
		{disk.Options{Path: fifo}, "is a pipe"},
		{disk.Options{Path: "/dev/null"}, "is a character device"},
		{disk.Options{Path: loop}, "symbolic links"},
		{disk.Options{Path: file(t, "empty", "", 0)}, "is empty"},
		{disk.Options{Path: file(t, "small", "x", 0)}, "has 1 bytes"},
		{disk.Options{Path: file(t, "a", "QFI\xfb", 4096)}, "begins like a qcow2 image"},
		{disk.Options{Path: file(t, "a.qcow2", "QFI\xfb", 4096)}, "qemu-img convert -O raw"},
		{disk.Options{Path: file(t, "a", "x", 4096), Format: disk.QCOW2}, "is no qcow2 image"},
		{disk.Options{Path: file(t, "a", "KDMV", 4096)}, "VMDK"},
		{disk.Options{Path: file(t, "a", "\x1f\x8b\x08", 4096)}, "gzip"},
		{disk.Options{Path: file(t, "a", "x", 4096), Format: "vdi"}, "unknown"},
	} {
		img, err := disk.Open(x.o)
		if err == nil {
			img.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.HasPrefix(err.Error(), x.o.Path+": ") {
			t.Errorf("%+v: %v, want %q", x.o, err, x.want)
		}
	}
	// A guest may write what it likes to its raw image.
	img, err := disk.Open(disk.Options{Path: file(t, "a", "QFI\xfb", 4096), Format: disk.Raw})
	if err != nil {
		t.Fatal(err)
	}
	img.Close()
}

func TestOddSize(t *testing.T) {
	img, err := disk.Open(disk.Options{Path: file(t, "odd.img", "x", 1500)})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Size() != 1024 || !strings.Contains(img.Warning(), "last 476 bytes") {
		t.Errorf("%d bytes, %q", img.Size(), img.Warning())
	}
}

func TestLocks(t *testing.T) {
	path := file(t, "disk", "x", 4096)
	open := func(ro bool) (disk.Image, error) { return disk.Open(disk.Options{Path: path, ReadOnly: ro}) }
	a, err := open(true)
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(true)
	if err != nil {
		t.Fatalf("two readers: %v", err)
	}
	if _, err := open(false); err == nil || !strings.Contains(err.Error(), "in use by another disk of this machine") {
		t.Errorf("a writer while there are readers: %v", err)
	}
	a.Close()
	b.Close()
	w, err := open(false)
	if err != nil {
		t.Fatalf("after the readers have gone: %v", err)
	}
	if _, err := open(true); err == nil {
		t.Error("a reader while there is a writer")
	}
	w.Close()
}

// TestLockHolder: another process is named, and its death frees the file.
func TestLockHolder(t *testing.T) {
	path := file(t, "disk", "x", 4096)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "MAYFLY_TEST_HOLD="+path)
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if fmt.Fscan(stdout, &word); word != "held" {
		t.Fatalf("the other process says %q", word)
	}
	_, err = disk.Open(disk.Options{Path: path})
	if want := fmt.Sprintf("in use by process %d (", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	cmd.Process.Kill()
	cmd.Wait()
	img, err := disk.Open(disk.Options{Path: path})
	if err != nil {
		t.Fatalf("after its end: %v", err)
	}
	img.Close()
}

func iov(p []byte) []unix.Iovec {
	return []unix.Iovec{{Base: unsafe.SliceData(p), Len: uint64(len(p))}}
}

func TestFile(t *testing.T) {
	for _, direct := range []bool{false, true} {
		path := file(t, "disk", "", 1<<20)
		img, err := disk.Open(disk.Options{Path: path, Direct: direct})
		if err != nil {
			if direct && strings.Contains(err.Error(), "O_DIRECT") {
				continue
			}
			t.Fatal(err)
		}
		defer img.Close()
		p := bytes.Repeat([]byte("mayfly!!"), 1<<12) // not aligned as O_DIRECT wants it, perhaps
		for _, durable := range []bool{false, true} {
			if n, err := img.Writev(iov(p[:4096]), 512, durable); n != 4096 || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		q := make([]byte, 4097)[1:]
		if n, err := img.Readv(iov(q), 512); n != 4096 || err != nil || !bytes.Equal(q, p[:4096]) {
			t.Fatalf("read: %d, %v", n, err)
		}
		for _, unmap := range []bool{false, true} {
			if err := img.Zero(1024, 512, unmap); err != nil {
				t.Errorf("zero: %v", err)
			}
		}
		if err := img.Discard(4096, 8192); err != nil {
			t.Errorf("discard: %v", err)
		}
		if err := img.Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		got, _ := os.ReadFile(path)
		if !bytes.Equal(got[512:1024], p[:512]) || !bytes.Equal(got[1024:1536], make([]byte, 512)) || len(got) != 1<<20 {
			t.Error("the file is not what was written")
		}
		os.Truncate(path, 2<<20)
		if err := img.Refresh(); err != nil || img.Size() != 2<<20 {
			t.Errorf("after it grew: %d, %v", img.Size(), err)
		}
	}
}

func TestTryRead(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/dev/shm"} {
		path := filepath.Join(dir, fmt.Sprintf("mayfly-try-%d", os.Getpid()))
		if err := os.WriteFile(path, bytes.Repeat([]byte{7}, 256<<10), 0o600); err != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(path) })
		img, err := disk.Open(disk.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		for _, n := range []int{512, 128 << 10} {
			p := make([]byte, n)
			if got := img.File().TryRead(iov(p), n, 4096); got != n || p[n-1] != 7 {
				t.Errorf("%s: %d of %d bytes that the page cache has", dir, got, n)
			}
		}
	}
}

// TestBlockDevice needs a loop device; most places give none.
func TestBlockDevice(t *testing.T) {
	path := file(t, "disk", "x", 1<<20)
	out, err := exec.Command("losetup", "--show", "-f", path).Output()
	if err != nil {
		t.Skip("no loop device:", err)
	}
	dev := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "-d", dev).Run()
	img, err := disk.Open(disk.Options{Path: dev})
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if img.Size() != 1<<20 || img.Blocks().Logical != 512 {
		t.Errorf("%d bytes, %+v", img.Size(), img.Blocks())
	}
	if err := img.Discard(4096, 8192); err != nil {
		t.Errorf("discard: %v", err)
	}
	if err := img.Zero(0, 4096, false); err != nil {
		t.Errorf("zero: %v", err)
	}
	if err := img.Flush(); err != nil {
		t.Errorf("flush: %v", err)
	}
	if _, err := disk.Open(disk.Options{Path: dev}); err == nil || !strings.Contains(err.Error(), "another disk of this machine") {
		t.Errorf("a second time: %v", err)
	}
	img.Close()
	claim, err := unix.Open(dev, unix.O_EXCL, 0) // as a mount does
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(claim)
	if _, err := disk.Open(disk.Options{Path: dev}); err == nil || !strings.Contains(err.Error(), "in use by the host") {
		t.Errorf("mounted: %v", err)
	}
}

// FuzzFormat: any file is opened or refused.
func FuzzFormat(f *testing.F) {
	f.Add([]byte("QFI\xfb"), "a.qcow2", "")
	f.Add(make([]byte, 600), "a.img", "raw")
	f.Fuzz(func(t *testing.T, data []byte, name, format string) {
		if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || len(name) > 200 {
			return
		}
		path := filepath.Join(t.TempDir(), name)
		if os.WriteFile(path, data, 0o600) != nil {
			return
		}
		img, err := disk.Open(disk.Options{Path: path, Format: disk.Format(format)})
		if err != nil {
			return
		}
		if img.Size() == 0 || img.Size()%512 != 0 {
			t.Errorf("a size of %d", img.Size())
		}
		img.Close()
	})
}

// TestRawNamedQCOW2: what a name promises and a guest could write later is not
// taken for raw.
func TestRawNamedQCOW2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.qcow2")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if img, err := disk.Open(disk.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "format=raw") {
		if err == nil {
			img.Close()
		}
		t.Errorf("got %v", err)
	}
	img, err := disk.Open(disk.Options{Path: path, Format: disk.Raw})
	if err != nil {
		t.Fatal(err)
	}
	img.Close()
}
