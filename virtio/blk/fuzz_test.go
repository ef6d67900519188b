package blk_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// FuzzDevice gives the device chains of arbitrary descriptors over arbitrary
// bytes, while another processor changes them, and configuration writes. It may
// need a reset, and nothing worse; after that it works.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0}, []byte{})
	f.Add(append(header(out, 0), make([]byte, 512)...), []byte{0, 0, 16, 0, 1, 16, 0, 2, 1, 32, 0, 1, 2})
	f.Add(append(header(discard, 0), ranges([3]uint64{0, 8, 0})...), []byte{1, 0, 16, 0, 1, 16, 16, 0, 1, 0, 64, 1, 2})
	// Zeroes over all of the disk, over more than it has, and of more than a request may name.
	for i, sectors := range []uint64{128, 129, 128<<11 + 1, 1<<32 - 1} {
		f.Add(append(header(writeZeroes, 0), ranges([3]uint64{0, sectors, uint64(i & 1)})...), []byte{byte(4 * i), 0, 0, 32, 1, 1, 0, 1, 2})
		f.Add(append(header(writeZeroes, 0), ranges([3]uint64{0, sectors, 0}, [3]uint64{8, 8, 1})...), []byte{byte(4 * i), 0, 0, 48, 1, 1, 0, 1, 2})
	}
	f.Add(append(header(in, 0), 1, 2, 3), []byte{2, 0, 16, 0, 1, 0, 64, 0, 3, 0, 80, 1, 2})
	f.Add(header(getID, 0), []byte{3, 0, 16, 0, 1, 0, 64, 20, 3, 0, 80, 1, 2})
	f.Fuzz(func(t *testing.T, data, plan []byte) {
		if len(plan) == 0 || len(plan) > 400 || len(data) > 1<<16 {
			return
		}
		mode := plan[0]
		c := blk.Config{Path: image(t, 64<<10), Queues: 1 + int(mode&1), QueueSize: 16, ReadOnly: mode&2 != 0, Engine: blk.Engines[int(mode>>2)%3]}
		dev := open(t, c)
		d := virtiotest.New(t, dev, virtiotest.Options{Packed: mode&16 != 0, Memory: 4 << 20})
		base, p := d.Alloc(1 << 17)
		copy(p, data)
		q := d.Queue(0)
		done := make(chan struct{})
		go func() { // another processor
			defer close(done)
			for i := range 2000 {
				p[i%len(p)%64] ^= byte(i)
			}
		}()
		plan = plan[1:]
		var descs []virtiotest.Desc
		for len(plan) >= 4 {
			off, n, flags := binary.BigEndian.Uint16(plan), uint32(plan[2]), uint16(plan[3])
			plan = plan[4:]
			if flags&64 != 0 {
				n <<= 12
			}
			at := base + memory.Addr(off)
			if flags&32 != 0 {
				at = memory.Addr(off) << 16
			}
			descs = append(descs, virtiotest.Desc{Addr: at, Len: n, Flags: flags & 7, Next: uint16(len(descs) + 1)})
			if len(descs) == 8 || flags&1 == 0 {
				if q.Pending()+len(descs) < q.Size() {
					q.AddRaw(descs)
				}
				descs = nil
			}
			d.WriteConfig(uint64(off), []byte{byte(n)})
			d.ReadConfig(uint64(off), 4)
		}
		q.ForceKick()
		for q.Pending() > 0 && d.Failure() == nil {
			if q.WaitFor(5*time.Second) == nil && d.Failure() == nil {
				t.Fatalf("%d requests were neither answered nor refused", q.Pending())
			}
		}
		<-done
		d.Reset()
		if _, s := read(d.Queue(0), 0, 512); s != ok {
			t.Errorf("the next request: status %d", s)
		}
	})
}
