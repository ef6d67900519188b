package vsock

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/virtio"
)

// loop serves the queues and the sockets. One epoll instance watches the listener and
// every socket, all by edges; the virtio.Loop awaits that instance while it sleeps.
type loop struct {
	cfg      Config
	stats    *counters
	listener *unixsocket.Listener
	dialer   virtio.Dial // nil: connections are made here
	epoll    int

	rx, tx  *virtio.Queue
	serving *virtio.Loop // nil between Stop and Start
	tick    virtio.Timer

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
	turn    side
}

// side is who is expected to do something next.
type side uint8

const (
	guest side = iota
	host
)

// slotListener is the slot of what is no connection.
const slotListener = -1

// tickTime is how exactly deadlines are kept.
const tickTime = 250 * time.Millisecond

func newLoop(c Config, listener *unixsocket.Listener, dialer virtio.Dial, stats *counters) (*loop, error) {
	l := &loop{cfg: c, listener: listener, dialer: dialer, stats: stats, byPort: map[uint64]*conn{}, nextPort: firstHostPort}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: slotListener}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, listener.FD, &ev); err != nil {
		unix.Close(l.epoll)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// close ends all connections; the listener is the device's.
func (l *loop) close() {
	if l.epoll < 0 {
		return
	}
	l.stop()
	for _, c := range l.conns {
		if c.phase != free {
			l.release(c)
		}
	}
	closeFD(&l.epoll)
}

// spinner chooses not to poll when a process of the host is to act next: that one
// needs a processor, and polling may take just the one that it would get.
func (l *loop) spinner(own *virtio.Spinner) *virtio.Spinner {
	if l.turn == host {
		return nil
	}
	return own
}

// idle asks for what ends the sleep.
func (l *loop) idle() bool {
	more := len(l.answers) < mostAnswers && l.tx.EnableNotify()
	if l.starved && l.rx.EnableNotify() {
		more = true
	}
	if !more {
		l.serving.Await(l.epoll, unix.EPOLLIN)
	}
	return more
}

// work does a bit of everything, and tells whether there was anything.
func (l *loop) work() bool {
	found := epollWait(l.epoll, l.events[:])
	did := found > 0
	for i := range found {
		l.event(&l.events[i])
	}
	if l.tick.IsSet() && !l.tick.Waits() {
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
	if !l.tick.IsSet() && (l.timed > 0 || l.full) {
		l.tick.Set(tickTime)
	}
	return did
}
