package vsock

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/eventfd"
	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
)

// loop serves the queues and the sockets. One epoll instance watches both bells,
// the listener and every socket, all by edges; the Go poller watches the epoll
// instance, so that a device with nothing to do costs no thread.
type loop struct {
	cfg      Config
	stats    *counters
	listener *unixsocket.Listener
	epoll    int
	file     *os.File // epoll's, for the Go poller
	poll     syscall.RawConn
	wake     *eventfd.FD // for stop and the timer

	session *virtio.Session
	rx, tx  *virtio.Queue
	done    chan struct{} // closed when the goroutine has ended; nil when there is none
	halt    atomic.Bool
	tick    atomic.Bool
	timer   *time.Timer
	timerMu sync.Mutex // the timer rings wake only before close
	closed  bool

	conns      []*conn // by slot
	unused     []*conn
	byPort     map[uint64]*conn
	ready      list
	answers    []answer
	timed      int // connections with a deadline
	nextPort   uint32
	acceptable bool // the listener may have somebody
	full       bool // nobody is accepted until a connection ends
	pool       pool

	spares  [spareChains]virtio.Chain // receive buffers taken and not used yet, a ring
	spare   int                       // the first of them
	nspare  int
	starved bool // the guest gave no buffers for what there is
	chain   virtio.Chain
	data    virtio.Vec
	sizes   [spareChains]int
	msg     unix.Msghdr
	events  [64]unix.EpollEvent
	found   int // events of the last look
	wait    func(uintptr) bool
}

// Slots of what is no connection.
const (
	slotListener = -1 - iota
	slotBell
	slotWake
)

// tickTime is how exactly deadlines are kept.
const tickTime = 250 * time.Millisecond

func newLoop(c Config, stats *counters) (*loop, error) {
	l := &loop{cfg: c, stats: stats, byPort: map[uint64]*conn{}, nextPort: firstHostPort, epoll: -1}
	var err error
	if l.listener, err = unixsocket.Listen(c.Path, c.Mode); err != nil {
		return nil, err
	}
	if err = l.openPoll(); err != nil {
		l.close()
		return nil, err
	}
	l.timer = time.AfterFunc(time.Hour, l.timeUp)
	l.timer.Stop()
	return l, nil
}

func (l *loop) timeUp() {
	l.timerMu.Lock()
	defer l.timerMu.Unlock()
	if !l.closed {
		l.tick.Store(true)
		l.wake.Signal()
	}
}

func (l *loop) openPoll() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err = unix.SetNonblock(l.epoll, true); err != nil { // what os.NewFile goes by
		unix.Close(l.epoll)
		return os.NewSyscallError("fcntl", err)
	}
	l.file = os.NewFile(uintptr(l.epoll), "epoll")
	if l.poll, err = l.file.SyscallConn(); err != nil {
		return err
	}
	if l.wake, err = eventfd.New(); err != nil {
		return err
	}
	l.wait = func(uintptr) bool { return l.look() > 0 }
	if err = l.watch(l.wake.FD(), slotWake); err != nil {
		return err
	}
	return l.watch(l.listener.FD, slotListener)
}

func (l *loop) watch(fd int, slot int32) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: slot}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev))
}

// start begins to serve s; a fresh session's driver knows of no connection.
func (l *loop) start(s *virtio.Session, fresh bool) error {
	if fresh {
		for _, c := range l.conns {
			if c.phase != free && c.phase != greeting && c.phase != lingering {
				l.release(c)
			}
		}
		l.answers = l.answers[:0]
	}
	l.session, l.rx, l.tx = s, s.Queue(rxQueue), s.Queue(txQueue)
	if l.rx == nil || l.tx == nil {
		return nil
	}
	for _, q := range [...]*virtio.Queue{l.rx, l.tx} {
		if err := l.watch(q.Bell().FD(), slotBell); err != nil {
			l.unwatch()
			return err
		}
	}
	l.acceptable = true
	l.halt.Store(false)
	done := make(chan struct{})
	l.done = done
	go func() {
		defer close(done)
		s.Guard(l.run)
	}()
	return nil
}

func (l *loop) unwatch() {
	for _, q := range [...]*virtio.Queue{l.rx, l.tx} {
		_ = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, q.Bell().FD(), nil)
	}
}

// stop returns when the goroutine has ended and put back what it had taken.
func (l *loop) stop() {
	if l.done == nil {
		return
	}
	l.halt.Store(true)
	l.wake.Signal()
	<-l.done
	l.done = nil
	l.timer.Stop()
	l.unwatch()
	for ; l.nspare > 0; l.nspare-- {
		l.rx.Unpop(&l.spares[(l.spare+l.nspare-1)%spareChains])
	}
}

func (l *loop) close() error {
	if l.closed {
		return nil
	}
	l.stop()
	for _, c := range l.conns {
		if c.phase != free {
			l.release(c)
		}
	}
	l.listener.Close()
	l.timerMu.Lock()
	l.closed = true
	l.timerMu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	if l.wake != nil {
		l.wake.Close()
	}
	return nil
}

// run works as virtio.Worker does: while there is work, and a moment after, nobody
// has to ring.
func (l *loop) run() {
	l.tx.DisableNotify()
	l.rx.DisableNotify()
	spin := virtio.Spin
	if runtime.NumCPU() == 1 {
		spin = 0
	}
	var idle time.Time
	for !l.halt.Load() {
		if l.work() {
			idle = time.Time{}
			continue
		}
		if spin > 0 {
			if now := time.Now(); idle.IsZero() {
				idle = now
				continue
			} else if now.Sub(idle) < spin {
				continue
			}
		}
		if !l.sleep() {
			return
		}
	}
}

// sleep waits for an event; false: the device is closed.
func (l *loop) sleep() bool {
	more := len(l.answers) < mostAnswers && l.tx.EnableNotify()
	if l.starved && l.rx.EnableNotify() {
		more = true
	}
	if !more && !l.halt.Load() {
		if l.timed > 0 || l.full {
			l.timer.Reset(tickTime)
		}
		if err := l.poll.Read(l.wait); errors.Is(err, os.ErrClosed) {
			return false
		}
	}
	l.tx.DisableNotify()
	l.rx.DisableNotify()
	return true
}

// work does a bit of everything, and tells whether there was anything.
func (l *loop) work() bool {
	if l.found == 0 {
		l.look()
	}
	did := l.found > 0
	for i := range l.found {
		l.event(&l.events[i])
	}
	l.found = 0
	if l.tick.Swap(false) {
		l.expire()
	}
	if l.acceptable {
		l.accept()
	}
	if l.transmit() {
		did = true
	}
	if l.receive() {
		did = true
	}
	return did
}

// look asks for events without waiting.
func (l *loop) look() int {
	n, err := unix.EpollWait(l.epoll, l.events[:], 0)
	l.found = max(n, 0)
	if err != nil {
		l.found = 0
	}
	return l.found
}

func (l *loop) event(ev *unix.EpollEvent) {
	switch {
	case ev.Fd == slotListener:
		l.acceptable = true
	case ev.Fd < 0: // a bell, or the wake: the queues are looked at anyway
	case int(ev.Fd) < len(l.conns):
		c := l.conns[ev.Fd]
		if c.phase != free && c.generation == ev.Pad {
			l.socketEvent(c, ev.Events)
		}
	}
}

// socketEvent notes what a socket is ready for.
func (l *loop) socketEvent(c *conn, ev uint32) {
	if ev&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		c.readable = true
	}
	if ev&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		c.halfGone = true
	}
	if ev&unix.EPOLLHUP != 0 {
		c.gone = true
	}
	if ev&unix.EPOLLOUT != 0 {
		c.writable = true
		if c.buf.n > 0 && !l.drain(c) {
			return
		}
	}
	switch c.phase {
	case greeting:
		l.greet(c)
	case requested:
		if c.gone {
			l.reset(c) // it did not wait for the answer
		}
	case open:
		if c.gone && (c.ended || c.shut&shutReceive != 0) {
			l.hostEnded(c) // nothing will be read that would tell
		}
		if c.busy() {
			l.ready.put(c)
		}
	}
}
