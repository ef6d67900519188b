package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
)

// opened is a file that is handed over: nobody finds it by a path.
func opened(t *testing.T, name, data string, size int64, flags int) *os.File {
	t.Helper()
	path := file(t, name, data, size)
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, unix.EINVAL) && flags&unix.O_DIRECT != 0 {
		t.Skip("no O_DIRECT here")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGivenFile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags int
		o     disk.Options
	}{
		{"read and write", os.O_RDWR, disk.Options{}},
		{"read only", os.O_RDONLY, disk.Options{ReadOnly: true}},
		{"writable, read only", os.O_RDWR, disk.Options{ReadOnly: true}},
		{"direct", os.O_RDWR, disk.Options{Direct: true}},
		{"opened direct", os.O_RDWR | unix.O_DIRECT, disk.Options{Direct: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := opened(t, "a.img", "data", 1<<20, tt.flags)
			tt.o.File = f
			img, err := disk.Open(tt.o)
			if err != nil && tt.o.Direct && strings.Contains(err.Error(), "O_DIRECT") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the file is still its opener's: %v", err)
			}
			p := make([]byte, 512) // not aligned as O_DIRECT wants it, perhaps
			if n, err := img.Readv(iov(p), 0); n != 512 || err != nil || string(p[:4]) != "data" {
				t.Errorf("read %d, %v, %q", n, err, p[:4])
			}
			if tt.o.ReadOnly {
				return
			}
			if n, err := img.Writev(iov(bytes.Repeat([]byte{7}, 512)), 512, true); n != 512 || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
			if n, err := img.Readv(iov(p), 512); n != 512 || err != nil || p[511] != 7 {
				t.Errorf("read %d, %v after the write", n, err)
			}
		})
	}
}

func TestGivenFilesThatCannotBe(t *testing.T) {
	pathOnly := func(t *testing.T) *os.File {
		fd, err := unix.Open(file(t, "a", "x", 4096), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), "a")
	}
	pipe := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		return r
	}
	with := func(name, data string, size int64, flags int) func(*testing.T) *os.File {
		return func(t *testing.T) *os.File { return opened(t, name, data, size, flags) }
	}
	for _, tt := range []struct {
		name string
		file func(*testing.T) *os.File
		o    disk.Options
		want string
	}{
		{"read only", with("a", "x", 4096, os.O_RDONLY), disk.Options{}, "reading only"},
		{"write only", with("a", "x", 4096, os.O_WRONLY), disk.Options{}, "writing only"},
		{"appending", with("a", "x", 4096, os.O_RDWR|os.O_APPEND), disk.Options{}, "O_APPEND"},
		{"opened direct", with("a", "x", 4096, os.O_RDWR|unix.O_DIRECT), disk.Options{}, "set direct too"},
		{"a path alone", pathOnly, disk.Options{ReadOnly: true}, "O_PATH"},
		{"a pipe", pipe, disk.Options{ReadOnly: true}, "is a pipe"},
		{"empty", with("a", "", 0, os.O_RDWR), disk.Options{}, "is empty"},
		{"qcow2 by content alone", with("a", "QFI\xfb", 4096, os.O_RDWR), disk.Options{}, "begins like a qcow2 image"},
		{"qcow2 by its name", with("a.qcow2", "x", 4096, os.O_RDWR), disk.Options{}, "is named like a qcow2 image"},
		{"qcow2 by Path", with("a", "x", 4096, os.O_RDWR), disk.Options{Path: "b.qcow2"}, "is named like a qcow2 image"},
		{"qcow2", with("a.qcow2", "QFI\xfb", 4096, os.O_RDWR), disk.Options{}, "qemu-img convert -O raw"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.file(t)
			tt.o.File = f
			img, err := disk.Open(tt.o)
			if err == nil {
				img.Close()
			}
			name := tt.o.Path
			if name == "" {
				name = f.Name()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("the file is left open: %v", err)
			}
		})
	}
}

// TestGivenFileIsLocked: against the same file by its path.
func TestGivenFileIsLocked(t *testing.T) {
	path := file(t, "disk", "x", 4096)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	img, err := disk.Open(disk.Options{File: f})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Open(disk.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "in use by another disk of this machine") {
		t.Errorf("by its path: %v", err)
	}
	img.Close()
	if img, err = disk.Open(disk.Options{Path: filepath.Clean(path)}); err != nil {
		t.Fatalf("after its end: %v", err)
	}
	img.Close()
}
