package virtiotest

import (
	"sync"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Link is a driver's way to its device: what a transport's registers and
// interrupts do. A Link that can Move (testing.TB, *virtio.Instance) Link takes
// its transport's state to a restored device.
type Link interface {
	Features() virtio.Feature
	Accept(virtio.Feature)
	Status() uint8
	SetStatus(uint8)
	// MaxSize is the greatest size of queue i, 0 when there is no such queue.
	MaxSize(i int) uint16
	// SetQueue sets queue i up and makes it ready.
	SetQueue(i int, q virtio.QueueState)
	Notify(i int)
	// WaitUsed waits for the interrupt of queue i, WaitConfig for that of the
	// configuration; false: none came in time.
	WaitUsed(i int, d time.Duration) bool
	WaitConfig(d time.Duration) bool
	ReadConfig(off uint64, p []byte)
	WriteConfig(off uint64, p []byte)
}

// direct is a transport without registers.
type direct struct {
	*virtio.Instance
	used   []*eventfd.FD
	config *eventfd.FD

	mu    sync.Mutex
	kicks map[int]int // eventfds
}

// Direct connects a driver to an instance with no transport between.
func Direct(t testing.TB, in *virtio.Instance) Link {
	l := &direct{Instance: in, config: newEvent(t), kicks: make(map[int]int)}
	for range in.NumQueues() {
		l.used = append(l.used, newEvent(t))
	}
	in.Attach(l)
	return l
}

func newEvent(t testing.TB) *eventfd.FD {
	e, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func (l *direct) SetQueue(i int, q virtio.QueueState) {
	l.Instance.SetQueue(i, func(s *virtio.QueueState) { *s = q })
}

func (l *direct) Notify(i int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if fd, ok := l.kicks[i]; ok {
		eventfd.Signal(fd)
	}
}

func (l *direct) WaitUsed(i int, d time.Duration) bool { return l.used[i].WaitFor(d) == nil }
func (l *direct) WaitConfig(d time.Duration) bool      { return l.config.WaitFor(d) == nil }

// Bind, Unbind, Interrupt and ConfigChanged make it a virtio.Transport.
func (l *direct) Bind(i, kick int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kicks[i] = kick
	return nil
}

func (l *direct) Unbind(i, _ int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.kicks, i)
}

func (l *direct) Interrupt(i int) virtio.Interrupt { return l.used[i] }

func (l *direct) ConfigChanged() { l.config.Signal() }

func (l *direct) Refresh() {}
