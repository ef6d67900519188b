package blk_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// given is an image that no path leads to.
func given(t *testing.T, size, flags int) *os.File {
	t.Helper()
	path := image(t, size)
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	return f
}

func isClosed(t *testing.T, f *os.File) {
	t.Helper()
	if _, err := f.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is left open: %v", err)
	}
}

func TestGivenFile(t *testing.T) {
	f := given(t, 1<<20, os.O_RDWR)
	c := blk.Config{File: f}
	if got := c.DeviceName(); got != "disk "+f.Name() {
		t.Errorf("name %q", got)
	}
	dev := open(t, c)
	isClosed(t, f)
	d := virtiotest.New(t, dev, virtiotest.Options{})
	q := d.Queue(0)
	wantBytes(t, q, 0, pattern(0, 4096))

	// Another one takes its place, and those that cannot are closed.
	for _, c := range []blk.Config{
		{ReadOnly: true, File: given(t, 1<<20, os.O_RDONLY)},
		{File: given(t, 1<<20, os.O_RDONLY)},
		{Queues: -1, File: given(t, 1<<20, os.O_RDWR)},
	} {
		if err := dev.Change(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
		isClosed(t, c.File)
		wantBytes(t, q, 0, pattern(0, 4096))
	}
	if err := dev.Change(blk.Config{File: given(t, 2<<20, os.O_RDWR)}); err != nil {
		t.Fatal(err)
	}
	d.WaitConfigChanged()
	wantBytes(t, q, 1<<20, pattern(1<<20, 4096))
	other := given(t, 1<<20, os.O_RDWR)
	if err := dev.Change(virtio.Opened{Name: "disk", Device: open(t, blk.Config{File: other})}); err == nil || !strings.Contains(err.Error(), "blk.Config") {
		t.Errorf("a device in place of a configuration: %v", err)
	}
	isClosed(t, other)
	if err := dev.Change(virtio.Packed{DeviceConfig: blk.Config{File: given(t, 1<<20, os.O_RDWR)}}); err != nil {
		t.Errorf("a packed disk's medium: %v", err)
	}
	dev.Close()
	late := given(t, 1<<20, os.O_RDWR)
	if err := dev.Change(blk.Config{File: late}); err == nil {
		t.Error("a closed disk was changed")
	}
	isClosed(t, late)
}

// TestGivenFileIsClosed where New fails.
func TestGivenFileIsClosed(t *testing.T) {
	for _, c := range []blk.Config{
		{Queues: -1},
		{Limits: ratelimit.Config{Ops: &ratelimit.Bucket{}}},
		{Image: &fake{}},
		{Format: "qcow2"},
	} {
		c.File = given(t, 1<<20, os.O_RDWR)
		if d, err := blk.New(c); err == nil {
			d.Close()
			t.Errorf("%+v was opened", c)
		}
		isClosed(t, c.File)
	}
}
