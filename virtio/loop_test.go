package virtio_test

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

// counted is a Loop whose Work has nothing to do; an element of passes is each call.
type counted struct {
	*virtio.Loop
	d      *virtiotest.Driver
	m      *manual
	passes chan struct{}
	asleep atomic.Bool // Idle was called, and Work not since
}

// newCounted makes a Loop over the queues of a new device. With config nil it is one
// that sleeps until it is woken.
func newCounted(t *testing.T, queues int, config func(*virtio.LoopConfig)) *counted {
	t.Helper()
	sizes := []uint16{8, 8}[:queues]
	l := &counted{m: &manual{sizes: sizes}, passes: make(chan struct{}, 1000)}
	l.d = virtiotest.New(t, l.m, virtiotest.Options{})
	c := virtio.LoopConfig{Queues: l.m.session.Queues, Spin: -1, Work: func() bool {
		l.passed()
		return false
	}, Idle: func() (more bool) {
		for _, q := range l.m.session.Queues {
			more = q.EnableNotify() || more
		}
		return more
	}}
	if config != nil {
		config(&c)
	}
	idle := c.Idle
	c.Idle = func() bool {
		more := idle()
		l.asleep.Store(!more)
		return more
	}
	loop, err := l.m.session.NewLoop(c)
	if err != nil {
		t.Fatal(err)
	}
	l.Loop = loop
	t.Cleanup(loop.Stop)
	return l
}

// pass waits for a call of Work.
func (l *counted) pass(t *testing.T, why string) {
	t.Helper()
	select {
	case <-l.passes:
	case <-time.After(virtiotest.Deadline):
		t.Fatalf("no call of Work after %s", why)
	}
}

// settle forgets the calls of Work so far, and returns when the Loop sleeps: a kick without
// a buffer, as ForceKick's, wakes only a Loop that does.
func (l *counted) settle(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(virtiotest.Deadline); time.Now().Before(end); time.Sleep(10 * time.Microsecond) {
		for len(l.passes) > 0 {
			<-l.passes
		}
		if l.asleep.Load() { // so the calls that were forgotten are over
			return
		}
	}
	t.Fatal("the Loop does not sleep")
}

func (l *counted) passed() {
	l.asleep.Store(false)
	select {
	case l.passes <- struct{}{}:
	default: // nobody counts so many
	}
}

// One queue alone and several take different ways to sleep.
func eachWay(t *testing.T, do func(t *testing.T, queues int)) {
	t.Run("one queue", func(t *testing.T) { do(t, 1) })
	t.Run("two queues", func(t *testing.T) { do(t, 2) })
}

func TestLoopWakes(t *testing.T) {
	eachWay(t, func(t *testing.T, queues int) {
		l := newCounted(t, queues, nil)
		l.Run()
		l.pass(t, "the start")
		for range 100 {
			for i, q := range l.m.session.Queues {
				l.settle(t)
				q.Wake()
				l.pass(t, "a Wake of the queue")
				l.settle(t)
				l.d.Queue(i).ForceKick()
				l.pass(t, "a kick")
			}
			l.settle(t)
			l.Wake()
			l.pass(t, "a Wake")
		}
	})
}

// A Wake during Work, or during Idle, is not lost: the loop polls once more.
func TestLoopIsWokenInMidWork(t *testing.T) {
	eachWay(t, func(t *testing.T, queues int) {
		calls, idles := 0, 0
		last := make(chan struct{})
		var l *counted
		l = newCounted(t, queues, func(c *virtio.LoopConfig) {
			c.Work = func() bool {
				if calls++; calls%2 == 1 {
					l.m.session.Queues[queues-1].Wake()
				}
				if calls == 100 {
					close(last)
				}
				return false
			}
			c.Idle = func() bool {
				if idles++; idles%2 == 0 {
					l.Wake()
				}
				return false
			}
		})
		l.Run()
		select {
		case <-last:
		case <-time.After(virtiotest.Deadline):
			t.Error("a Wake was lost")
		}
	})
}

func TestLoopTimers(t *testing.T) {
	eachWay(t, func(t *testing.T, queues int) {
		var early, late virtio.Timer
		var begin time.Time
		done := make(chan time.Duration, 2)
		l := newCounted(t, queues, func(c *virtio.LoopConfig) {
			c.Timers = []*virtio.Timer{&late, &early}
			c.Work = func() bool {
				switch {
				case begin.IsZero():
					begin = time.Now()
					early.Set(5 * time.Millisecond)
					late.Set(20 * time.Millisecond)
				case early.IsSet() && !early.Waits():
					done <- time.Since(begin)
				case !early.IsSet() && late.IsSet() && !late.Waits():
					done <- time.Since(begin)
				}
				return false
			}
		})
		l.Run()
		for _, least := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond} {
			select {
			case took := <-done:
				if took < least {
					t.Errorf("a timer of %v was over after %v", least, took)
				}
			case <-time.After(virtiotest.Deadline):
				t.Fatal("a timer does not end the sleep")
			}
		}
	})
}

func TestTimer(t *testing.T) {
	var timer virtio.Timer
	if timer.IsSet() || timer.Waits() {
		t.Error("the zero Timer is set")
	}
	timer.Set(time.Hour)
	if !timer.IsSet() || !timer.Waits() {
		t.Error("a timer of an hour is over")
	}
	timer.Stop()
	if timer.IsSet() || timer.Waits() {
		t.Error("a timer that was stopped is set")
	}
	for timer.Set(0); timer.Waits(); {
	}
	if timer.IsSet() {
		t.Error("a timer whose time is over is set")
	}
}

func pipe(t *testing.T) (r, w int) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p[0]); unix.Close(p[1]) })
	return p[0], p[1]
}

func TestLoopAwaits(t *testing.T) {
	r, w := pipe(t)
	var awaits atomic.Bool
	var l *counted
	l = newCounted(t, 2, func(c *virtio.LoopConfig) {
		c.Descriptors = []int{r}
		c.Idle = func() bool {
			if awaits.Load() {
				l.Await(r, unix.EPOLLIN)
			}
			return false
		}
	})
	l.Run()
	l.pass(t, "the start")
	if _, err := unix.Write(w, []byte{1}); err != nil {
		t.Fatal(err)
	}
	l.Wake()
	l.pass(t, "a Wake")
	for range 3 { // nobody reads: the sleep ends when that is first awaited, and no other
		awaits.Store(true)
		l.Wake()
		l.pass(t, "a Wake")
		l.pass(t, "what is there to be read")
		awaits.Store(false)
		for range 2 { // the second: there was a sleep without
			l.Wake()
			l.pass(t, "a Wake")
		}
		if _, err := unix.Write(w, []byte{1}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.passes:
			t.Error("what was not awaited ended a sleep")
		default:
		}
	}
	var b [8]byte
	if _, err := unix.Read(r, b[:]); err != nil {
		t.Fatal(err)
	}
	awaits.Store(true)
	l.Wake()
	l.pass(t, "a Wake")
	l.settle(t)
	if _, err := unix.Write(w, []byte{1}); err != nil {
		t.Fatal(err)
	}
	l.pass(t, "a byte")
}

// A descriptor that somebody closes ends no device: the loop goes on.
func TestLoopAwaitsWhatIsClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fd := int(r.Fd())
	var l *counted
	l = newCounted(t, 1, func(c *virtio.LoopConfig) {
		c.Descriptor = true
		c.Idle = func() bool {
			l.Await(fd, unix.EPOLLIN)
			return false
		}
	})
	if err := l.AddDescriptor(fd); err != nil {
		t.Fatal(err)
	}
	r.Close()
	l.Run()
	for range 3 {
		l.pass(t, "a Wake")
		l.Wake()
	}
	if err := l.d.Failure(); err != nil {
		t.Error(err)
	}
}

// TestLoopBlocks: a sleep in the thread ends with the descriptor, a kick, a Wake, a
// timer, and the loop's end.
func TestLoopBlocks(t *testing.T) {
	r, w := pipe(t)
	var timer virtio.Timer
	var arm atomic.Bool
	var l *counted
	l = newCounted(t, 1, func(c *virtio.LoopConfig) {
		c.Timers = []*virtio.Timer{&timer}
		c.Work = func() bool {
			var b [8]byte
			_, _ = unix.Read(r, b[:])
			if arm.Swap(false) {
				timer.Set(time.Millisecond)
			} else if timer.IsSet() && timer.Waits() {
				return false
			}
			l.passed()
			return false
		}
		c.Idle = func() bool {
			l.Block(r)
			return false
		}
	})
	l.Run()
	l.pass(t, "the start")
	for range 20 {
		l.settle(t)
		if _, err := unix.Write(w, []byte{1}); err != nil {
			t.Fatal(err)
		}
		l.pass(t, "a byte")
		l.settle(t)
		l.d.Queue(0).ForceKick()
		l.pass(t, "a kick")
		l.settle(t)
		arm.Store(true)
		l.Wake()
		l.pass(t, "a Wake")
		l.pass(t, "a timer")
	}
}

func TestLoopEnds(t *testing.T) {
	eachWay(t, func(t *testing.T, queues int) {
		ended := 0
		m := &manual{sizes: []uint16{8, 8}[:queues]}
		virtiotest.New(t, m, virtiotest.Options{})
		for range 100 {
			l, err := m.session.NewLoop(virtio.LoopConfig{Queues: m.session.Queues, Work: func() bool { return false }, End: func() { ended++ }})
			if err != nil {
				t.Fatal(err)
			}
			l.Run().Stop()
			l.Stop()
		}
		if ended != 100 {
			t.Errorf("End was called %d times for 100 loops", ended)
		}
		l, err := m.session.NewLoop(virtio.LoopConfig{Queues: m.session.Queues, Work: func() bool { return false }})
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	})
}

// TestLoopAllocatesNothing, asleep and awake.
func TestLoopAllocatesNothing(t *testing.T) {
	r, w := pipe(t)
	b := make([]byte, 8)
	for _, way := range []string{"one queue", "descriptors", "in the thread"} {
		t.Run(way, func(t *testing.T) {
			var timer virtio.Timer
			queues := 1
			if way == "descriptors" {
				queues = 2
			}
			var l *counted
			l = newCounted(t, queues, func(c *virtio.LoopConfig) {
				c.Timers = []*virtio.Timer{&timer}
				c.Work = func() bool {
					_, _ = unix.Read(r, b)
					timer.Set(time.Hour)
					l.passed()
					return false
				}
				c.Idle = func() bool {
					switch way {
					case "descriptors":
						l.Await(r, unix.EPOLLIN)
					case "in the thread":
						l.Block(r)
					}
					return false
				}
				if way == "descriptors" {
					c.Descriptors = []int{r}
				}
			})
			l.Run()
			l.pass(t, "the start")
			one := []byte{1}
			if n := testing.AllocsPerRun(200, func() {
				if way == "one queue" {
					l.Wake()
				} else {
					unix.Write(w, one)
				}
				<-l.passes
			}); n != 0 {
				t.Errorf("%v allocations a sleep", n)
			}
		})
	}
}
