package virtio_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/memory"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

const (
	ack      = virtio.StatusAcknowledge
	driver   = virtio.StatusDriver
	features = virtio.StatusFeaturesOK
	ok       = virtio.StatusDriverOK
	needs    = virtio.StatusNeedsReset
	ready    = ack | driver | features
)

// board is a transport that counts.
type board struct {
	bound, unbound, config int
	bindErr                error
}

func (b *board) Bind(int, int) error {
	if b.bindErr == nil {
		b.bound++
	}
	return b.bindErr
}
func (b *board) Unbind(int, int)                { b.unbound++ }
func (b *board) Interrupt(int) virtio.Interrupt { return deaf{} }
func (b *board) ConfigChanged()                 { b.config++ }
func (b *board) Refresh()                       {}

type deaf struct{}

func (deaf) Signal() {}
func (deaf) FD() int { return -1 }

type bench struct {
	*virtio.Instance
	t       testing.TB
	dev     *manual
	board   *board
	reports []error
}

func newBench(t testing.TB, dev *manual, o virtio.Options) *bench {
	t.Helper()
	mem, err := memory.New([]memory.Range{{Addr: 0, Size: 1 << 20}}, memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	b := &bench{dev: dev, board: &board{}}
	o.Memory = mem
	o.Report = func(err error) { b.reports = append(b.reports, err) }
	b.Instance = virtio.New(dev, o)
	b.t = t
	b.Attach(b.board)
	t.Cleanup(b.Close)
	return b
}

func (b *bench) pause() {
	b.t.Helper()
	if err := b.Pause(context.Background()); err != nil {
		b.t.Errorf("pause: %v", err)
	}
}

// start goes as far as DRIVER_OK, with one queue.
func (b *bench) start() {
	b.t.Helper()
	b.negotiate()
	b.setQueue(0, goodQueue)
	if b.SetStatus(ready | ok); b.Status() != ready|ok {
		b.t.Fatalf("status %#x: %v", b.Status(), b.reports)
	}
}

// negotiate goes as far as FEATURES_OK.
func (b *bench) negotiate() {
	b.SetStatus(ack)
	b.SetStatus(ack | driver)
	b.Accept(b.Features())
	b.SetStatus(ready)
}

func (b *bench) setQueue(i int, q virtio.QueueState) {
	b.SetQueue(i, func(s *virtio.QueueState) { *s = q })
}

var goodQueue = virtio.QueueState{Size: 8, Ready: true, Desc: 0x1000, Driver: 0x2000, Device: 0x3000}

func TestNegotiation(t *testing.T) {
	offered := virtio.Feature(1<<5|1<<9) | virtio.FeatureVersion1 | virtio.FeatureIndirectDesc | virtio.FeatureEventIndex
	for _, c := range []struct {
		name   string
		accept virtio.Feature
		want   uint8
	}{
		{"everything", offered, ready},
		{"the least", virtio.FeatureVersion1, ready},
		{"nothing", 0, ack | driver},
		{"a legacy driver", 1 << 5, ack | driver},
		{"an unknown bit", offered | 1<<6, ack | driver},
		{"the highest bit", offered | 1<<63, ack | driver},
		{"packed rings, not offered", offered | virtio.FeatureRingPacked, ack | driver},
		{"ring reset, not offered", offered | virtio.FeatureRingReset, ack | driver},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, &manual{}, virtio.Options{})
			if b.Features() != offered {
				t.Fatalf("features %#x", b.Features())
			}
			b.SetStatus(ack | driver)
			b.Accept(c.accept)
			b.SetStatus(ready)
			if b.Status() != c.want {
				t.Errorf("status %#x, want %#x", b.Status(), c.want)
			}
			b.Accept(1)
			if b.Status() == ready && b.Accepted() != c.accept {
				t.Error("features changed after FEATURES_OK")
			}
			b.SetStatus(ready | ok)
			if started := b.dev.starts == 1; started != (c.want == ready) {
				t.Errorf("%d starts, status %#x", b.dev.starts, b.Status())
			}
		})
	}
	if b := newBench(t, &manual{}, virtio.Options{Packed: true}); !b.Features().Has(virtio.FeatureRingPacked) {
		t.Error("packed rings are not offered")
	}
}

func TestStatusBits(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	for _, c := range []struct{ write, want uint8 }{
		{ack, ack}, {driver, ack | driver}, {0x30, ack | driver | 0x30}, {needs, ack | driver | 0x30}, {0, 0},
		{ok, 0}, {ok | ack | driver, ack | driver}, {virtio.StatusFailed, ack | driver | virtio.StatusFailed}, {0, 0},
	} {
		if b.SetStatus(c.write); b.Status() != c.want {
			t.Errorf("status %#x after a write of %#x, want %#x", b.Status(), c.write, c.want)
		}
	}
	if b.dev.starts != 0 || b.dev.stops != 0 {
		t.Errorf("%d starts, %d stops", b.dev.starts, b.dev.stops)
	}
}

func TestLife(t *testing.T) {
	b := newBench(t, &manual{sizes: []uint16{8, 16}}, virtio.Options{})
	b.negotiate()
	b.setQueue(0, goodQueue)
	b.setQueue(7, goodQueue)
	b.setQueue(-1, goodQueue)
	b.SetStatus(ready | ok)
	b.SetStatus(ready | ok)
	if b.dev.starts != 1 || b.board.bound != 1 || b.Status() != ready|ok {
		t.Fatalf("%d starts, %d bound, status %#x, %v", b.dev.starts, b.board.bound, b.Status(), b.reports)
	}
	s := b.dev.session
	if s.Queue(0) == nil || s.Queue(1) != nil || s.Queue(2) != nil || s.Queue(-1) != nil {
		t.Error("other queues than the driver set up")
	}
	b.setQueue(1, goodQueue) // too late
	b.Notify(0)
	b.Notify(1)
	b.Notify(-1)
	b.Notify(2)
	if !s.Queue(0).TakeKick() {
		t.Error("the notification is lost")
	}
	b.SetStatus(0)
	if b.dev.stops != 1 || b.board.unbound != 1 || b.Status() != 0 || b.Accepted() != 0 {
		t.Errorf("%d stops, %d bound, status %#x, features %#x", b.dev.stops, b.board.unbound, b.Status(), b.Accepted())
	}
	if q := b.Queue(0); q != (virtio.QueueState{Size: 8}) {
		t.Errorf("queue 0 after the reset: %+v", q)
	}
	if q := b.Queue(1); q != (virtio.QueueState{Size: 16}) || b.Queue(2) != (virtio.QueueState{}) || b.MaxSize(2) != 0 {
		t.Errorf("queue 1 after the reset: %+v", q)
	}
	b.SetStatus(0)
	b.negotiate()
	b.setQueue(1, goodQueue)
	b.SetStatus(ready | ok)
	b.Close()
	b.Close()
	if b.dev.starts != 2 || b.dev.stops != 2 || b.board.bound != b.board.unbound {
		t.Errorf("%d starts, %d stops, %d and %d bound", b.dev.starts, b.dev.stops, b.board.bound, b.board.unbound)
	}
}

func TestBadQueuesNeedAReset(t *testing.T) {
	for name, edit := range map[string]func(*bench, *virtio.QueueState){
		"no size":            func(_ *bench, q *virtio.QueueState) { q.Size = 0 },
		"no power of two":    func(_ *bench, q *virtio.QueueState) { q.Size = 6 },
		"too large":          func(_ *bench, q *virtio.QueueState) { q.Size = 16 },
		"unaligned":          func(_ *bench, q *virtio.QueueState) { q.Desc = 8 },
		"outside":            func(_ *bench, q *virtio.QueueState) { q.Device = 1 << 20 },
		"no kicks":           func(b *bench, _ *virtio.QueueState) { b.board.bindErr = errors.New("no room on the bus") },
		"device won't start": func(b *bench, _ *virtio.QueueState) { b.dev.startErr = errors.New("no tap") },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, &manual{}, virtio.Options{})
			b.negotiate()
			q := goodQueue
			edit(b, &q)
			b.setQueue(0, q)
			b.SetStatus(ready | ok)
			if b.Status()&needs == 0 || len(b.reports) != 1 || b.board.config != 1 {
				t.Fatalf("status %#x, %d interrupts, reports %v", b.Status(), b.board.config, b.reports)
			}
			b.Notify(0)
			b.pause()
			b.Resume()
			b.SetStatus(0)
			if b.dev.stops != 0 || b.board.bound != b.board.unbound {
				t.Errorf("%d stops, %d of %d bound", b.dev.stops, b.board.unbound, b.board.bound)
			}
			b.board.bindErr, b.dev.startErr = nil, nil
			b.negotiate()
			b.setQueue(0, goodQueue)
			if b.SetStatus(ready | ok); b.Status() != ready|ok {
				t.Errorf("status %#x after the reset: %v", b.Status(), b.reports)
			}
		})
	}
}

func TestPackedQueuesHaveAnySize(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{Packed: true})
	b.negotiate()
	q := goodQueue
	q.Size = 7
	b.setQueue(0, q)
	if b.SetStatus(ready | ok); b.Status() != ready|ok {
		t.Errorf("status %#x: %v", b.Status(), b.reports)
	}
}

func TestFailureIsReportedOnce(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.negotiate()
	b.SetStatus(ready | ok)
	b.dev.session.Fail(errors.New("the disk is gone"))
	b.dev.session.Fail(errors.New("again"))
	if len(b.reports) != 1 || b.board.config != 1 || b.Status() != ready|ok|needs {
		t.Errorf("status %#x, %d interrupts, reports %v", b.Status(), b.board.config, b.reports)
	}
	if got := b.reports[0].Error(); !strings.Contains(got, "blk: the disk is gone") {
		t.Errorf("report %q", got)
	}
}

func TestGuard(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.negotiate()
	b.SetStatus(ready | ok)
	b.dev.session.Guard(func() { panic("index out of range") })
	if len(b.reports) != 1 || !strings.Contains(b.reports[0].Error(), "a defect of the monitor: index out of range") {
		t.Errorf("reports %v", b.reports)
	}
}

// A device may look at its rings when it stops, and their memory may be lost by
// then: a driver can lay them over the pages of a file that somebody cuts short.
func TestMemoryIsLostAtTheStop(t *testing.T) {
	lost, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(lost)
	var sum byte
	b := newBench(t, &manual{onStop: func() { sum += lost[0] }}, virtio.Options{})
	b.negotiate()
	b.setQueue(0, goodQueue)
	b.SetStatus(ready | ok)
	if b.Pause(context.Background()) == nil {
		t.Error("a device that did not come to the end of its Stop is paused")
	}
	b.Resume()
	if len(b.reports) != 1 || !strings.Contains(b.reports[0].Error(), "could not be reached") || b.Status()&needs == 0 {
		t.Errorf("status %#x, reports %v", b.Status(), b.reports)
	}
	b.dev.onStop = nil
	if b.SetStatus(0); b.Status() != 0 || b.board.bound != b.board.unbound {
		t.Errorf("status %#x after the reset, %d of %d bound", b.Status(), b.board.unbound, b.board.bound)
	}
}

func TestPauseAndResume(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.pause() // before there is anything
	b.Resume()
	b.negotiate()
	b.setQueue(0, goodQueue)
	b.SetStatus(ready | ok)
	if _, err := b.Save(); err == nil {
		t.Error("a running device was saved")
	}
	b.pause()
	b.pause()
	if b.dev.stops != 1 {
		t.Errorf("%d stops", b.dev.stops)
	}
	b.dev.session.Queue(0).TakeKick()
	b.Resume()
	b.Resume()
	if b.dev.starts != 2 || !b.dev.session.Queue(0).TakeKick() {
		t.Errorf("%d starts; the rings must be polled for what came meanwhile", b.dev.starts)
	}
	b.pause()
	b.SetStatus(0)
	if b.dev.stops != 2 {
		t.Errorf("%d stops: a paused device was stopped again", b.dev.stops)
	}
	b.negotiate()
	if b.SetStatus(ready | ok); b.dev.starts != 2 {
		t.Errorf("%d starts: a device started while it was paused", b.dev.starts)
	}
	b.pause()
	b.dev.startErr = errors.New("no tap")
	b.Resume()
	if b.Status()&needs == 0 {
		t.Errorf("status %#x of a device that did not start again", b.Status())
	}
	b.SetStatus(0)
}

func TestRestoreChecks(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.negotiate()
	b.setQueue(0, goodQueue)
	b.SetStatus(ready | ok)
	b.pause()
	good, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string]func(*virtio.State){
		"version":         func(s *virtio.State) { s.Version = 9 },
		"type":            func(s *virtio.State) { s.Type = virtio.TypeNet },
		"queues":          func(s *virtio.State) { s.Queues = nil },
		"features":        func(s *virtio.State) { s.Accepted |= 1 << 60 },
		"size":            func(s *virtio.State) { s.Queues[0].Size = 4096 },
		"address":         func(s *virtio.State) { s.Queues[0].Desc = 1 << 40 },
		"device":          func(s *virtio.State) { s.Device = 5 },
		"a legacy driver": func(s *virtio.State) { s.Accepted &^= virtio.FeatureVersion1 },
		"a step skipped":  func(s *virtio.State) { s.Status &^= features },
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			s.Queues = append([]virtio.QueueState(nil), good.Queues...)
			edit(&s)
			n := newBench(t, &manual{}, virtio.Options{})
			if err := n.Restore(s); err == nil {
				t.Error("accepted")
			}
			if n.board.bound != n.board.unbound {
				t.Error("a queue stayed bound")
			}
		})
	}
	if err := b.Restore(good); err == nil {
		t.Error("restored into a device that runs")
	}
	n := newBench(t, &manual{}, virtio.Options{})
	if err := n.Restore(good); err != nil {
		t.Fatal(err)
	}
	if n.dev.starts != 0 || n.Status() != ready|ok || n.Accepted() != b.Accepted() {
		t.Errorf("%d starts, status %#x", n.dev.starts, n.Status())
	}
	if n.Resume(); n.dev.starts != 1 {
		t.Error("Resume did not start the device")
	}
}

func TestStatesWithoutASession(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.negotiate()
	b.setQueue(0, goodQueue)
	s, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	n := newBench(t, &manual{}, virtio.Options{})
	if err := n.Restore(s); err != nil {
		t.Fatal(err)
	}
	n.Resume()
	if n.Status() != ready || n.Queue(0) != goodQueue || n.dev.starts != 0 {
		t.Errorf("status %#x, queue %+v, %d starts", n.Status(), n.Queue(0), n.dev.starts)
	}
	if n.SetStatus(ready | ok); n.dev.starts != 1 {
		t.Error("the driver could not go on")
	}
}

func TestSaveInMidWorkOverManyDevices(t *testing.T) {
	eachFormat(t, func(t *testing.T, o virtiotest.Options) {
		d := virtiotest.New(t, &virtiotest.Echo{Limit: 3}, o)
		q := d.Queue(0)
		for i := range 20 {
			q.Add([][]byte{{byte(i)}, {9}}, []int{2})
		}
		q.Kick()
		for range 3 {
			q.Wait()
		}
		for q.Pending() > 0 {
			d = d.SaveRestore(&virtiotest.Echo{Limit: 3})
			for range min(3, q.Pending()) {
				if r := q.Wait(); r.Written() != 2 || r.In()[1] != 9 {
					t.Fatalf("%d bytes, % x", r.Written(), r.In())
				}
			}
		}
	})
}
