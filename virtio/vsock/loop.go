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

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
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
	ticking bool       // it runs, or tick is set
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
	reserve    reserve

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
	turn    side
	wait    func(uintptr) bool
}

// side is who is expected to do something next.
type side uint8

const (
	guest side = iota
	host
)

// Slots of what is no connection.
const (
	slotListener = -1 - iota
	slotBell
	slotWake
)

// tickTime is how exactly deadlines are kept.
const tickTime = 250 * time.Millisecond

func newLoop(c Config, listener *unixsocket.Listener, stats *counters) (*loop, error) {
	l := &loop{cfg: c, listener: listener, stats: stats, byPort: map[uint64]*conn{}, nextPort: firstHostPort, epoll: -1}
	if err := l.openPoll(); err != nil {
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

// close ends all connections; the listener is the device's.
func (l *loop) close() {
	if l.closed {
		return
	}
	l.stop()
	for _, c := range l.conns {
		if c.phase != free {
			l.release(c)
		}
	}
	l.timerMu.Lock()
	l.closed = true
	l.timerMu.Unlock()
	if l.file != nil {
		l.file.Close()
	}
	if l.wake != nil {
		l.wake.Close()
	}
}

// run works as virtio.Worker does: while there is work, and a moment after, nobody
// has to ring. It does not look when a process of the host is to act next: that one
// needs a processor, and looking may take just the one that it would get.
func (l *loop) run() {
	l.tx.DisableNotify()
	l.rx.DisableNotify()
	spin := virtio.NewSpinner(virtio.Spin)
	if runtime.NumCPU() == 1 {
		spin = virtio.NewSpinner(0)
	}
	for !l.halt.Load() {
		switch {
		case l.work():
			spin.Worked()
		case l.turn == guest && spin.More():
		case !l.sleep():
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
		l.ticking = false
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
	if !l.ticking && (l.timed > 0 || l.full) { // here, since a busy guest lets nobody sleep
		l.ticking = true
		l.timer.Reset(tickTime)
	}
	return did
}
