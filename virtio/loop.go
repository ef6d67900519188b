package virtio

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/epoll"
)

// LoopConfig says what a Loop serves. Its functions are called in the Loop's goroutine.
type LoopConfig struct {
	// Queues are those whose kicks end a sleep, at least one.
	Queues []*Queue
	// Work does what there is to do, a batch of it, and reports whether there was
	// anything: if so it is called again soon. It flushes the queues that it served.
	Work func() bool
	// Idle comes before a sleep. It asks for what is to end the sleep, and reports
	// whether some of that is there already. It asks drivers for kicks
	// (Queue.EnableNotify), and for one descriptor (Loop.Await, Loop.Block). nil:
	// EnableNotify for each queue.
	Idle func() bool
	// Spin is how long at most to call Work again and again before a sleep; 0: Spin,
	// the constant; negative: not.
	Spin time.Duration
	// Spinner, if not nil, chooses another Spinner than the Loop's own each time there
	// was nothing to do. A nil Spinner: sleep at once.
	Spinner func(own *Spinner) *Spinner
	// Timers end a sleep, when their time comes.
	Timers []*Timer
	// Descriptors are those that Idle may Await; AddDescriptor adds others.
	Descriptors []int
	// Descriptor says that AddDescriptor will be called.
	Descriptor bool
	// End, if not nil, is called when the Loop ends by Stop or Quit.
	End func()
}

// Loop is a goroutine that serves queues, and what goes with them: descriptors and
// timers. While there is work, and for a moment after (see Spinner), its drivers are
// asked not to kick. Then it sleeps in Go's poller, and costs no thread.
type Loop struct {
	c       LoopConfig
	session *Session
	spin    Spinner
	other   *Spinner // the last one that LoopConfig.Spinner chose
	set     *epoll.Set
	last    func() bool // ready
	fault   error       // of Await
	block   int         // -1: the sleep is in Go's poller
	busy    int         // batches of work since the last sleep
	fds     [2]unix.PollFd
	stop    atomic.Bool
	done    chan struct{}
}

// busyAfter batches of work without a sleep make it likely that more follow. Then the
// events of what was awaited are not to wake Go's poller each time.
const busyAfter = 4

// NewLoop makes a Loop. Run starts it; one that is not started needs Close.
func (s *Session) NewLoop(c LoopConfig) (*Loop, error) {
	l := s.newLoop(c)
	if len(c.Queues) > 1 || len(c.Descriptors) > 0 || c.Descriptor {
		if err := l.openSet(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (s *Session) newLoop(c LoopConfig) *Loop {
	l := &Loop{c: c, session: s, block: -1, done: make(chan struct{})}
	l.last = l.ready
	if c.Spin == 0 {
		l.c.Spin = Spin
	}
	if runtime.NumCPU() > 1 { // with one, spinning takes the time of who has the work
		l.spin = NewSpinner(max(l.c.Spin, 0))
	}
	return l
}

// openSet makes what several events are waited for with. A kick of one queue is waited
// for alone, which is a call to the kernel less and a descriptor less.
func (l *Loop) openSet() (err error) {
	if l.set, err = epoll.New(); err != nil {
		return err
	}
	for _, q := range l.c.Queues {
		err = errors.Join(err, l.set.Watch(q.kick.FD()))
	}
	for _, fd := range l.c.Descriptors {
		err = errors.Join(err, l.set.Add(fd))
	}
	if err != nil {
		l.set.Close()
	}
	return err
}

// Run starts the goroutine.
func (l *Loop) Run() *Loop {
	go func() {
		defer close(l.done)
		if l.set != nil {
			defer l.set.Close()
		}
		l.session.Guard(l.run)
	}()
	return l
}

// Close gives back what a Loop holds that was not started.
func (l *Loop) Close() {
	if l.set != nil {
		l.set.Close()
	}
}

// Quit makes the goroutine end. It does not wait for that.
func (l *Loop) Quit() {
	l.stop.Store(true)
	l.Wake()
}

// Stop ends the goroutine and returns when it has ended. Not to be called in it.
func (l *Loop) Stop() {
	l.Quit()
	<-l.done
}

// Wake has Work called soon. Any goroutine may call it.
func (l *Loop) Wake() { l.c.Queues[0].Wake() }

// AddDescriptor lets Idle await fd, until fd is closed. Only the Loop's goroutine may
// call it after Run.
func (l *Loop) AddDescriptor(fd int) error { return l.set.Add(fd) }

// Await, in Idle, makes the sleep end too when fd is ready for events, EPOLLIN or
// EPOLLOUT. It was added. For the rest of the time its events wake nobody.
func (l *Loop) Await(fd int, events uint32) {
	switch err := l.set.Arm(fd, events); {
	case err == nil:
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EBADF): // closed by somebody: no sleep
		l.c.Queues[0].woken.Store(true)
	default:
		l.fault = err
	}
}

// Block, in Idle, makes the sleep one of the thread that ends when fd has something to
// read, too: for what comes within microseconds. It is for Loops of one queue without
// other descriptors.
func (l *Loop) Block(fd int) { l.block = fd }

func (l *Loop) run() {
	for _, q := range l.c.Queues {
		q.DisableNotify()
	}
	for !l.stop.Load() {
		for _, q := range l.c.Queues {
			if q.woken.Load() {
				q.woken.Store(false)
			}
		}
		if l.c.Work() {
			l.spin.Worked()
			if l.other != nil {
				l.other.Worked()
			}
			if l.busy++; l.busy == busyAfter && l.set != nil {
				l.fault = l.set.Disarm()
			}
			continue
		}
		if l.spins() {
			continue
		}
		if err := l.sleep(); err != nil {
			if !errors.Is(err, os.ErrClosed) { // by the session's end, for a device that was not stopped
				l.session.Fail(err)
			}
			return
		}
	}
	if l.c.End != nil {
		l.c.End()
	}
}

func (l *Loop) spins() bool {
	if l.c.Spinner == nil {
		return l.spin.More()
	}
	s := l.c.Spinner(&l.spin)
	if s == nil {
		return false
	}
	if s != &l.spin {
		l.other = s
	}
	return s.More()
}

// ready prepares a sleep, and reports whether there is no need for one.
func (l *Loop) ready() bool {
	l.block = -1
	if l.c.Idle != nil {
		if l.c.Idle() {
			return true
		}
	} else if l.notify() {
		return true
	}
	if l.stop.Load() || l.fault != nil {
		return true
	}
	for _, q := range l.c.Queues {
		if q.woken.Load() {
			return true
		}
	}
	return false
}

// notify asks for kicks.
func (l *Loop) notify() (more bool) {
	for _, q := range l.c.Queues {
		more = q.EnableNotify() || more
	}
	return more
}

func (l *Loop) sleep() (err error) {
	l.busy = 0
	slept := true
	switch {
	case l.set != nil:
		err = errors.Join(l.set.Wait(l.last, l.until()), l.fault)
	case l.ready():
		slept = false
	case l.block >= 0:
		l.poll()
	default:
		err = l.c.Queues[0].kick.WaitUntil(l.until())
	}
	for _, q := range l.c.Queues {
		if slept {
			q.stats.Wakeups.Add(1)
		}
		q.DisableNotify()
	}
	return err
}

// poll blocks the thread.
func (l *Loop) poll() {
	q, timeout := l.c.Queues[0], -1
	if t := l.until(); !t.IsZero() {
		timeout = int(max(time.Until(t), 0)/time.Millisecond) + 1
	}
	l.fds = [2]unix.PollFd{{Fd: int32(l.block), Events: unix.POLLIN}, {Fd: int32(q.kick.FD()), Events: unix.POLLIN}}
	if _, err := unix.Poll(l.fds[:], timeout); err == nil && l.fds[1].Revents != 0 {
		q.kick.Clear()
	}
}

// until is when the first of the timers ends the sleep; zero: none does.
func (l *Loop) until() (first time.Time) {
	for _, t := range l.c.Timers {
		if !t.at.IsZero() && (first.IsZero() || t.at.Before(first)) {
			first = t.at
		}
	}
	return first
}
