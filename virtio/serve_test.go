package virtio_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

func TestServeEndsWhileItSleeps(t *testing.T) {
	m := &manual{}
	virtiotest.New(t, m, virtiotest.Options{})
	for range 100 {
		m.session.Serve(m.session.Queue(0), func() bool { return false }).Stop()
	}
}

func TestServeEndsWhenItsWorkPanics(t *testing.T) {
	m := &manual{}
	d := virtiotest.New(t, m, virtiotest.Options{})
	w := m.session.Serve(m.session.Queue(0), func() bool { panic("oh") })
	d.WaitConfigChanged()
	w.Stop()
	if err := d.Failure(); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Errorf("the device failed by %v", err)
	}
}

// A file below guest memory that was cut off raises SIGBUS.
func TestMemoryThatIsGoneEndsTheDeviceOnly(t *testing.T) {
	d := virtiotest.New(t, &virtiotest.Echo{}, virtiotest.Options{})
	path := filepath.Join(t.TempDir(), "below")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const at = 32 << 20
	if err := d.Memory().MapFile(memory.Addr(at), f, 0, 4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	q := d.Queue(0)
	in, _ := d.Alloc(16)
	q.AddRaw([]desc{{Addr: at, Len: 8, Flags: next, Next: 1}, {Addr: in, Len: 8, Flags: write}})
	q.Kick()
	d.WaitConfigChanged()
	if err := d.Failure(); err == nil || !strings.Contains(err.Error(), "could not be reached") {
		t.Errorf("the device failed by %v", err)
	}
	d.Reset()
	q.Do([][]byte{{1}}, []int{1})
}
