package mmio_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// same compares all that is shown with the results of reads that exit.
func (l *link) same(when string) {
	l.t.Helper()
	for off := uint64(0); off < uint64(len(l.panel)); off += 4 {
		var p [4]byte
		l.tr.Read(off, p[:])
		if shown := l.panel[off:][:4]; string(shown) != string(p[:]) {
			l.t.Errorf("%s: %#x is % x, and shown as % x", when, off, p, shown)
		}
	}
}

func TestPanelShowsWhatReadsTell(t *testing.T) {
	dev := &virtiotest.Echo{Sizes: []uint16{16, 64}}
	l := raw(t, dev)
	l.same("after a reset")
	for _, w := range []struct {
		off uint64
		v   uint32
	}{{0x14, 1}, {0x14, 0}, {0x14, 7}, {0x24, 1}, {0x20, 1}, {0x70, 3}, {0x70, 11}, {0x30, 1}, {0x38, 8}, {0x80, 0x1000}, {0x90, 0x2000},
		{0xA0, 0x3000}, {0x44, 1}, {0x30, 0}, {0x30, 9}, {0x30, 1}, {0x100, 42}, {0x11C, 43}, {0x70, 15}, {0x64, 1}, {0x64, 3}, {0xF8, 9}, {0, 1}} {
		l.write(w.off, w.v)
		l.same("after a write")
	}
	dev.SetConfig(3, []byte{1, 2, 3})
	l.same("after a change by the device")
	if got := l.panel[0x103]; got != 1 {
		t.Errorf("byte 3 of the configuration space is shown as %d", got)
	}
	l.write(0x70, 0)
	l.same("after another reset")
}

// A device that can't go on shows it by itself.
func TestPanelShowsThatAResetIsNeeded(t *testing.T) {
	d := virtiotest.New(t, &virtiotest.Echo{}, over(virtiotest.Options{}))
	l := d.Link().(*link)
	l.SetStatus(0)
	l.SetStatus(3)
	l.Accept(virtio.FeatureVersion1)
	l.SetStatus(11)
	l.SetQueue(0, virtio.QueueState{Size: 8, Desc: 1 << 40, Driver: 0x2000, Device: 0x3000})
	if l.SetStatus(15); l.Status() != 15|virtio.StatusNeedsReset {
		t.Errorf("status %#x of a device with a ring outside memory", l.Status())
	}
	l.same("without a ring")
}

// A change that comes before the driver is ready is reported as soon as it is:
// the driver may have read what was shown before.
func TestChangeBeforeTheDriverIsReady(t *testing.T) {
	dev := &virtiotest.Echo{}
	l := raw(t, dev)
	l.SetStatus(3)
	l.Accept(virtio.FeatureVersion1)
	l.SetStatus(11)
	dev.SetConfig(0, []byte{9})
	l.write(0x30, 0)
	if l.SetStatus(15); !l.WaitConfig(virtiotest.Deadline) {
		t.Error("no interrupt")
	}
	p := []byte{0}
	if l.ReadConfig(0, p); p[0] != 9 {
		t.Errorf("the configuration space shows %d", p[0])
	}
	l.SetStatus(0)
	l.SetStatus(3)
	l.Accept(virtio.FeatureVersion1)
	l.SetStatus(11)
	if l.SetStatus(15); l.configured || l.read(0x60)&2 != 0 {
		t.Error("an interrupt without a change")
	}
}

// Acknowledgements of used buffers are the ioeventfd's, all others the device's.
func TestWhoTakesAcknowledgements(t *testing.T) {
	dev := &virtiotest.Echo{}
	d := virtiotest.New(t, dev, over(virtiotest.Options{}))
	l := d.Link().(*link)
	before := l.f.Kicked()
	if l.write(0x64, 1); l.f.Kicked() != before+1 {
		t.Error("no ioeventfd took an acknowledgement of used buffers")
	}
	dev.SetConfig(0, []byte{1})
	if l.read(0x60) != 3 {
		t.Errorf("InterruptStatus is %#x", l.read(0x60))
	}
	l.write(0x64, 1)
	if l.read(0x60) != 3 {
		t.Error("an acknowledgement of used buffers took the change of the configuration with it")
	}
	if l.write(0x64, 3); l.read(0x60) != 1 || l.f.Kicked() != before+2 {
		t.Errorf("InterruptStatus is %#x after an acknowledgement of both", l.read(0x60))
	}
	if l.SetStatus(0); l.read(0x60) != 0 {
		t.Errorf("InterruptStatus is %#x after a reset", l.read(0x60))
	}
}

// Disks and consoles change while a driver resets and sets up the device and a
// stop waits for its work: nobody waits for each other, and in the end what is
// shown is what is.
func TestChangesBesideTheDriver(t *testing.T) {
	paths := [2]string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	for _, p := range paths {
		if err := os.WriteFile(p, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := blk.New(blk.Config{Path: paths[1]})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	terminal, err := console.New(console.Config{Ports: []console.Port{{Console: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, c := range []struct {
		dev    virtio.Device
		change func(i int)
	}{
		{disk, func(i int) {
			if err := disk.Change(blk.Config{Path: paths[i%2]}); err != nil {
				t.Error(err)
			}
			os.Truncate(paths[i%2], int64(1+i%9)<<20)
			if err := disk.Refresh(); err != nil {
				t.Error(err)
			}
		}},
		{terminal, func(i int) { terminal.Resize(0, uint16(i), uint16(i+1)) }},
	} {
		d := virtiotest.New(t, c.dev, over(virtiotest.Options{}))
		l := d.Link().(*link)
		var both sync.WaitGroup
		both.Go(func() {
			for i := range 500 {
				c.change(i)
			}
		})
		both.Go(func() {
			rnd := rand.New(rand.NewPCG(1, 1))
			for range 500 {
				switch rnd.IntN(4) {
				case 0:
					d.Reset()
				case 1:
					l.write(0x30, rnd.Uint32N(3))
				case 2: // a chain of nonsense: the queue's goroutine fails the device
					d.Queue(0).Add(nil, []int{1})
					d.Queue(0).Kick()
				default:
					l.WriteConfig(8, []byte{1})
				}
			}
		})
		both.Wait()
		d.Reset()
		l.same("in the end")
	}
}

// What changes while a machine is paused is shown and reported at the resume.
func TestChangeInAPause(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := blk.New(blk.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	d := virtiotest.New(t, disk, over(virtiotest.Options{}))
	l := d.Link().(*link)
	d.Pause()
	os.Truncate(path, 3<<20)
	if err := disk.Refresh(); err != nil {
		t.Fatal(err)
	}
	d.Resume()
	d.WaitConfigChanged()
	l.same("after a pause")
	d.Pause()
	d.Resume()
	if l.read(0x60)&2 != 0 {
		t.Error("a pause without a change was reported")
	}
}

// A change that the driver's own write to the space finds is reported too.
func TestChangeBeforeAWriteToTheSpace(t *testing.T) {
	terminal, err := console.New(console.Config{Ports: []console.Port{{Console: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	l := raw(t, terminal)
	l.SetStatus(3)
	l.Accept(virtio.FeatureVersion1)
	l.SetStatus(11)
	terminal.Resize(0, 80, 25)
	l.WriteConfig(8, []byte{'!', 0, 0, 0})
	if l.SetStatus(15); !l.WaitConfig(virtiotest.Deadline) {
		t.Error("no interrupt")
	}
}
