package vnet_test

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// FuzzChains puts arbitrary chains into all queues of a card whose far end echoes
// whatever comes. 8 bytes make a descriptor: queue u8, flags u8, next u8, a shift
// of the length u8, address u16, length u16.
func FuzzChains(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 100, 0, 0, 2, 0, 0, 16, 0, 200, 0})
	f.Add([]byte{2, 1, 1, 0, 0, 0, 2, 0, 2, 2, 0, 0, 0, 1, 1, 0})
	f.Add([]byte{0, 2, 0, 8, 0, 0, 255, 255, 1, 4, 0, 0, 0, 0, 32, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		dev, err := vnet.New(vnet.Config{FDs: fds[:1]})
		if err != nil {
			t.Fatal(err)
		}
		go func() { // the far end
			defer unix.Close(fds[1])
			buf := make([]byte, 1<<16)
			for {
				n, err := unix.Read(fds[1], buf)
				if n <= 0 || err != nil {
					return
				}
				unix.SendmsgN(fds[1], buf[:n], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			}
		}()
		defer dev.Close()
		putChains(t, dev, script)
	})
}

// FuzzTapChains is the same for a card on a tap, in which frames wait.
func FuzzTapChains(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 100, 0, 0, 2, 0, 0, 16, 0, 200, 0})
	f.Add([]byte{0, 2, 0, 0, 0, 0, 200, 0, 0, 2, 0, 0, 0, 1, 200, 0, 0, 2, 0, 5, 0, 2, 255, 0})
	f.Add([]byte{0x40, 2, 0, 8, 0, 0, 255, 255, 1, 4, 0, 0, 0, 0, 32, 0})
	dev, w := openTap(f, vnet.Config{MTU: 9000}) // one for all: taps take long to go
	f.Fuzz(func(t *testing.T, script []byte) {
		for _, n := range []int{100, 3000, 8000, 60} {
			w.f.Write(make([]byte, n)) // read as a table, it names no buffer
		}
		putChains(t, dev, script)
	})
}

// putChains puts what script says into the queues, and sees whether the card is
// still one after a reset.
func putChains(t *testing.T, dev *vnet.Device, script []byte) {
	o := virtiotest.Options{Memory: 4 << 20, QueueSize: 16}
	if len(script) > 0 {
		o.Packed = script[0]&0x80 != 0
		if script[0]&0x40 != 0 {
			o.Without = vnet.FeatureMergeable
		}
	}
	d := virtiotest.New(t, dev, o)
	// What addresses point to: the script itself, as headers, commands and tables.
	// Behind them lies room for a frame.
	base, p := d.Alloc(1<<16 + 1<<14)
	copy(p, script)
	for ; len(script) >= 8; script = script[8:] {
		q := d.Queue(int(script[0]&0x3f) % 3)
		if q.Pending() == q.Size() {
			continue
		}
		q.AddRaw([]virtiotest.Desc{{
			Addr: base + memory.Addr(binary.LittleEndian.Uint16(script[4:])), Len: uint32(binary.LittleEndian.Uint16(script[6:])) << (script[3] & 15),
			Flags: uint16(script[1]) & 7, Next: uint16(script[2]),
		}})
		q.Kick()
	}
	for i := range 3 {
		d.Queue(i).ForceKick()
		d.Queue(i).WaitFor(time.Millisecond)
	}
	if err := d.Failure(); err != nil && d.Link().Status()&virtio.StatusNeedsReset == 0 {
		t.Fatalf("%v, but no reset is needed", err)
	}
	d.Reset()
	if r := d.Queue(2).Do([][]byte{{0, 0, 1}}, []int{1}); r.In()[0] != 0 {
		t.Fatal("the card does not work after a reset")
	}
}

// FuzzStream feeds the receive side with arbitrary bytes.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 0, 0, 14, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		dev, far := openStream(t, vnet.Config{})
		d := virtiotest.New(t, dev, virtiotest.Options{QueueSize: 16, Memory: 4 << 20})
		for range 16 {
			d.Queue(0).Add(nil, []int{100})
		}
		d.Queue(0).Kick()
		far.Write(data)
		far.Close()
		d.WaitConfigChanged()
		for r := d.Queue(0).Poll(); r != nil; r = d.Queue(0).Poll() {
			if r.Written() > 100 {
				t.Fatalf("%d bytes in a buffer of 100", r.Written())
			}
		}
	})
}

func FuzzForward(f *testing.F) {
	f.Add("udp:[::1]:1:2")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := vnet.ParseForward(s); err == nil && (p.HostPort == 0 || p.GuestPort == 0) {
			t.Errorf("%q: %+v", s, p)
		}
	})
}
