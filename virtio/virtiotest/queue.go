package virtiotest

import (
	"time"
	"unsafe"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Queue is the driver's side of a virtqueue.
type Queue struct {
	d        *Driver
	index    int
	setup    virtio.QueueState
	areaSize uint16 // for how many descriptors the areas were made
	ring     ring
	slots    []*Request // by head or buffer id
	pending  int
}

// ring is one of the two formats.
type ring interface {
	// put makes a chain available and returns its head or buffer id; false: no room.
	put(descs []Desc) (id uint16, ok bool)
	// take takes the next used chain.
	take() (id uint16, written uint32, ok bool)
	// free takes the descriptors of a used chain back.
	free(id uint16)
	// kickWanted tells whether the device wants to hear of what was put since the
	// last call.
	kickWanted() bool
	// interrupts asks for an interrupt with the next used chain, or for none.
	interrupts(want bool)
}

func (d *Driver) packed() bool { return d.features.Has(virtio.FeatureRingPacked) }

// lay makes an empty ring.
func (q *Queue) lay(size uint16) {
	n := int(size)
	if q.areaSize != size {
		q.setup.Desc, _ = q.d.Alloc(16 * n)
		q.setup.Driver, _ = q.d.Alloc(6 + 2*n)
		q.setup.Device, _ = q.d.Alloc(6 + 8*n)
		q.areaSize = size
	}
	q.setup.Size, q.setup.Ready = size, true
	desc, driver, device := q.area(q.setup.Desc, 16*n), q.area(q.setup.Driver, 6+2*n), q.area(q.setup.Device, 6+8*n)
	events := q.d.features.Has(virtio.FeatureEventIndex)
	if q.d.packed() {
		q.ring = newPacked(size, desc, driver, device, events)
	} else {
		q.ring = newSplit(size, desc, driver, device, events)
	}
	q.ring.interrupts(false)
	q.slots = make([]*Request, n)
	q.pending = 0
}

func (q *Queue) area(addr memory.Addr, n int) unsafe.Pointer {
	p, err := q.d.mem.Slice(addr, uint64(n))
	if err != nil {
		q.d.t.Fatal(err)
	}
	clear(p)
	return unsafe.Pointer(unsafe.SliceData(p))
}

// Size is the number of descriptors.
func (q *Queue) Size() int { return int(q.setup.Size) }

// Pending is the number of requests that the device has.
func (q *Queue) Pending() int { return q.pending }

// Setup says where the ring is.
func (q *Queue) Setup() virtio.QueueState { return q.setup }

// Submit makes a request available that the device does not have. It allocates
// nothing.
func (q *Queue) Submit(r *Request) {
	if r.busy {
		q.d.t.Fatal("the device has that request already")
	}
	id, ok := q.ring.put(r.descs)
	if !ok {
		q.d.t.Fatalf("queue %d is full: %d requests are under way", q.index, q.pending)
	}
	r.busy, r.id = true, id
	q.slots[id] = r
	q.pending++
}

// Kick notifies the device if it wants to know.
func (q *Queue) Kick() {
	if q.ring.kickWanted() {
		q.d.link.Notify(q.index)
	}
}

// ForceKick notifies the device.
func (q *Queue) ForceKick() {
	q.ring.kickWanted()
	q.d.link.Notify(q.index)
}

// Poll takes the next request that the device gave back; nil: there is none.
func (q *Queue) Poll() *Request {
	id, written, ok := q.ring.take()
	if !ok {
		return nil
	}
	if int(id) >= len(q.slots) || q.slots[id] == nil {
		q.d.t.Fatalf("queue %d: the device gave back %d, which it does not have", q.index, id)
	}
	r := q.slots[id]
	q.slots[id] = nil
	q.pending--
	q.ring.free(id)
	r.finish(written)
	return r
}

// Wait takes the next request that the device gives back, and waits for its
// interrupt if there is none yet.
func (q *Queue) Wait() *Request {
	q.d.t.Helper()
	r := q.WaitFor(Deadline)
	if r == nil {
		q.d.t.Fatalf("queue %d: nothing of %d requests came back; status %#x, %v",
			q.index, q.pending, q.d.link.Status(), q.d.Failure())
	}
	return r
}

// WaitFor is Wait for no longer than t, and not for a device that needs a reset;
// nil: nothing came.
func (q *Queue) WaitFor(t time.Duration) *Request {
	if r := q.Poll(); r != nil {
		return r
	}
	defer q.ring.interrupts(false)
	for end := time.Now().Add(t); ; {
		q.ring.interrupts(true)
		if r := q.Poll(); r != nil {
			return r
		}
		// No Poll without an interrupt: a missing one must show.
		for !q.d.link.WaitUsed(q.index, min(100*time.Millisecond, time.Until(end))) {
			if q.d.link.Status()&virtio.StatusNeedsReset != 0 || !time.Now().Before(end) {
				return nil
			}
		}
	}
}

// Do is Add, Kick and Wait, for a queue with nothing else under way.
func (q *Queue) Do(out [][]byte, in []int) *Request {
	q.d.t.Helper()
	r := q.Add(out, in)
	q.Kick()
	if got := q.Wait(); got != r {
		q.d.t.Fatalf("queue %d: another request came back", q.index)
	}
	return r
}
