package virtiotest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Deadline is how long the driver waits for a device before it fails the test.
const Deadline = 20 * time.Second

// Options say what kind of driver it is.
type Options struct {
	// Memory is the guest's RAM in bytes, from address 0 on; 0: 64 MiB.
	Memory uint64
	// Packed offers and takes packed rings.
	Packed bool
	// NoIndirect and NoEventIndex refuse these features; requests are then chains in
	// the ring, and flags ask for notifications.
	NoIndirect, NoEventIndex bool
	// Without are further offered features that the driver refuses.
	Without virtio.Feature
	// QueueSize is that of each queue; 0 or too much: the greatest that it may have.
	QueueSize uint16
	// Connect puts a transport before the instance; nil: Direct.
	Connect func(testing.TB, *virtio.Instance) Link
}

// Driver is a driver with its guest memory, and the device's instance.
type Driver struct {
	t        testing.TB
	opts     Options
	mem      *memory.Map
	heap     *heap
	in       *virtio.Instance
	link     Link
	features virtio.Feature
	queues   []*Queue

	mu      sync.Mutex
	failure error
}

// New makes guest memory and a driver, and brings the device to DRIVER_OK with
// all its queues. The test's end stops the device; closing it is the test's own.
func New(t testing.TB, dev virtio.Device, o Options) *Driver {
	t.Helper()
	if o.Memory == 0 {
		o.Memory = 64 << 20
	}
	if o.Connect == nil {
		o.Connect = Direct
	}
	mem, err := memory.New([]memory.Range{{Addr: 0, Size: o.Memory}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	d := &Driver{t: t, opts: o, mem: mem, heap: newHeap(mem)}
	d.connect(dev)
	d.Reset()
	return d
}

func (d *Driver) connect(dev virtio.Device) {
	d.in = virtio.New(dev, virtio.Options{Memory: d.mem, Packed: d.opts.Packed, Report: d.report})
	d.link = d.opts.Connect(d.t, d.in)
	d.t.Cleanup(d.in.Close)
}

func (d *Driver) report(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// Failure is why the device needed a reset last; nil when it never did.
func (d *Driver) Failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// Reset resets the device and starts it again, as New does. Requests under way
// are forgotten.
func (d *Driver) Reset() {
	d.t.Helper()
	d.link.SetStatus(0)
	for end := time.Now().Add(Deadline); d.link.Status() != 0; {
		if time.Now().After(end) {
			d.t.Fatalf("status %#x after a reset", d.link.Status())
		}
	}
	d.link.SetStatus(virtio.StatusAcknowledge)
	d.link.SetStatus(virtio.StatusAcknowledge | virtio.StatusDriver)
	refuse := d.opts.Without
	if d.opts.NoIndirect {
		refuse |= virtio.FeatureIndirectDesc
	}
	if d.opts.NoEventIndex {
		refuse |= virtio.FeatureEventIndex
	}
	d.features = d.link.Features() &^ refuse
	d.link.Accept(d.features)
	const ready = virtio.StatusAcknowledge | virtio.StatusDriver | virtio.StatusFeaturesOK
	d.link.SetStatus(ready)
	if s := d.link.Status(); s != ready {
		d.t.Fatalf("status %#x: the device does not take features %#x", s, d.features)
	}
	d.setUp()
	d.link.SetStatus(ready | virtio.StatusDriverOK)
	if s := d.link.Status(); s&virtio.StatusNeedsReset != 0 {
		d.t.Fatalf("the device did not start: %v", d.Failure())
	}
}

// setUp gives each queue a ring, the old place if it has one.
func (d *Driver) setUp() {
	for i := 0; ; i++ {
		size := d.link.MaxSize(i)
		if size == 0 {
			break
		}
		if n := d.opts.QueueSize; n != 0 && n < size {
			size = n
		}
		if i == len(d.queues) {
			d.queues = append(d.queues, &Queue{d: d, index: i})
		}
		d.queues[i].lay(size)
		d.link.SetQueue(i, d.queues[i].setup)
	}
}

// Queue is queue i.
func (d *Driver) Queue(i int) *Queue { return d.queues[i] }

// Instance is the device's.
func (d *Driver) Instance() *virtio.Instance { return d.in }

// Link is the way to the device.
func (d *Driver) Link() Link { return d.link }

// Features are those that were negotiated.
func (d *Driver) Features() virtio.Feature { return d.features }

// Memory is the guest's RAM.
func (d *Driver) Memory() *memory.Map { return d.mem }

// Alloc takes n bytes of guest memory for good.
func (d *Driver) Alloc(n int) (memory.Addr, []byte) {
	d.t.Helper()
	return d.heap.alloc(d.t, n)
}

// ReadConfig reads n bytes of the configuration space.
func (d *Driver) ReadConfig(off uint64, n int) []byte {
	p := make([]byte, n)
	d.link.ReadConfig(off, p)
	return p
}

// WriteConfig writes to the configuration space.
func (d *Driver) WriteConfig(off uint64, p []byte) { d.link.WriteConfig(off, p) }

// WaitConfigChanged waits for the interrupt that tells of a change of the
// configuration space, or of a device that needs a reset.
func (d *Driver) WaitConfigChanged() {
	d.t.Helper()
	if !d.link.WaitConfig(Deadline) {
		d.t.Fatal("no interrupt because of the configuration came")
	}
}

// Pause pauses the device, however long that takes.
func (d *Driver) Pause() {
	d.t.Helper()
	if err := d.in.Pause(context.Background()); err != nil {
		d.t.Errorf("pause: %v", err)
	}
}

// Resume lets the device go on.
func (d *Driver) Resume() { d.in.Resume() }

// SaveRestore pauses the device, saves it, restores it into dev2, a device like
// it, and lets that go on with the same memory and rings. The Queues are the
// same; the Driver is not to be used any more.
func (d *Driver) SaveRestore(dev2 virtio.Device) *Driver {
	d.t.Helper()
	d.Pause()
	s, err := d.in.Save()
	if err != nil {
		d.t.Fatal(err)
	}
	n := &Driver{t: d.t, opts: d.opts, mem: d.mem, heap: d.heap, features: d.features, queues: d.queues}
	if mover, ok := d.link.(interface {
		Move(testing.TB, *virtio.Instance) Link
	}); ok {
		n.opts.Connect = mover.Move
	}
	n.connect(dev2)
	n.opts.Connect = d.opts.Connect
	if err := n.in.Restore(s); err != nil {
		d.t.Fatal(err)
	}
	d.in.Close()
	for _, q := range n.queues {
		q.d = n
	}
	n.in.Resume()
	return n
}
