package wdat_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/bus"
	"github.com/mayfly-vm/mayfly/internal/device/wdat"
)

// clock advances by pass alone.
type clock struct {
	now  time.Time
	at   time.Time
	call func()
}

func (c *clock) clock() wdat.Clock {
	return wdat.Clock{Now: func() time.Time { return c.now }, AfterFunc: func(d time.Duration, f func()) func() {
		c.at, c.call = c.now.Add(d), f
		return func() { c.call = nil }
	}}
}

func (c *clock) pass(d time.Duration) {
	c.now = c.now.Add(d)
	if f := c.call; f != nil && !c.now.Before(c.at) {
		c.call = nil
		f()
	}
}

func read(d *wdat.Device, off uint64) uint32 {
	var p [4]byte
	d.Read(off, p[:])
	return binary.LittleEndian.Uint32(p[:])
}

func write(d *wdat.Device, off uint64, v uint32) {
	d.Write(off, binary.LittleEndian.AppendUint32(nil, v))
}

const control, count, left, status = 0, 4, 8, 12

func TestCountdown(t *testing.T) {
	var c clock
	n := 0
	d := wdat.New(wdat.Config{OnExpire: func() { n++ }, Clock: c.clock()})
	if read(d, control) != 0 || read(d, status) != 0 {
		t.Fatal("it runs, or has expired, at first")
	}
	write(d, count, 50) // 5 s
	c.pass(time.Hour)
	write(d, control, 1)
	c.pass(4 * time.Second)
	if got := read(d, left); got != 10 {
		t.Errorf("%d periods left, want 10", got)
	}
	write(d, left, 1)
	c.pass(4 * time.Second)
	d.Pause()
	d.Pause()
	c.pass(time.Hour)
	if got := read(d, left); got != 10 {
		t.Errorf("%d periods left in a pause, want 10", got)
	}
	s := d.State()
	d.Resume()
	c.pass(999 * time.Millisecond)
	if n != 0 {
		t.Fatal("it expired too early")
	}
	c.pass(time.Millisecond)
	if n != 1 || read(d, control) != 0 || read(d, status) != 1 || !d.Fired() {
		t.Fatalf("expired %d times, control %d, status %d", n, read(d, control), read(d, status))
	}
	write(d, status, 1)
	if d.Fired() {
		t.Error("the status stays")
	}

	var c2 clock
	e := wdat.New(wdat.Config{OnExpire: func() { n++ }, Clock: c2.clock(), Expired: true})
	if read(e, status) != 1 {
		t.Error("the new start does not know why")
	}
	if err := e.SetState(s); err != nil {
		t.Fatal(err)
	}
	c2.pass(time.Hour)
	e.Resume()
	if read(e, left) != 10 || n != 1 {
		t.Errorf("%d periods left after a restore", read(e, left))
	}
	write(e, control, 0)
	c2.pass(time.Hour)
	write(e, control, 1)
	e.Close()
	c2.pass(time.Hour)
	if n != 1 {
		t.Error("it expired when stopped or closed")
	}
}

func TestHostsClock(t *testing.T) {
	done := make(chan struct{})
	d := wdat.New(wdat.Config{OnExpire: func() { close(done) }})
	defer d.Close()
	write(d, count, 0) // at least one period
	write(d, control, 1)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not expire")
	}
}

func FuzzDevice(f *testing.F) {
	f.Add([]byte{0, 1, 4, 255, 8, 1, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		var c clock
		d := wdat.New(wdat.Config{Clock: c.clock()})
		for ; len(in) >= 2; in = in[2:] {
			p := make([]byte, 1+in[1]%bus.MaxAccess)
			for i := range p {
				p[i] = in[1]
			}
			if in[0]&0x80 != 0 {
				p = p[:min(len(p), 4)]
			}
			d.Write(uint64(in[0]&0xF), p)
			d.Read(uint64(in[1]&0xF), p)
			c.pass(time.Duration(in[1]) * time.Second)
			if n := read(d, count); n < wdat.MinCount || n > wdat.MaxCount {
				t.Fatalf("a countdown of %d", n)
			}
			if read(d, left) > read(d, count) {
				t.Fatalf("%d periods left of %d", read(d, left), read(d, count))
			}
		}
	})
}
