package vsock

import (
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
)

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
	l.ticking = false
	l.unwatch()
	for ; l.nspare > 0; l.nspare-- {
		l.rx.Unpop(&l.spares[(l.spare+l.nspare-1)%spareChains])
	}
}
