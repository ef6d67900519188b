package vsock

import "github.com/mayfly-vm/mayfly/virtio"

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
	l.rx, l.tx = s.Queue(rxQueue), s.Queue(txQueue)
	if l.rx == nil || l.tx == nil {
		return nil
	}
	var err error
	l.serving, err = s.NewLoop(virtio.LoopConfig{Queues: []*virtio.Queue{l.tx, l.rx}, Work: l.work, Idle: l.idle,
		Spinner: l.spinner, Timers: []*virtio.Timer{&l.tick}, Descriptors: []int{l.epoll}})
	if err != nil {
		return err
	}
	l.acceptable = true
	l.serving.Run()
	return nil
}

// stop returns when the goroutine has ended and what it had taken is put back.
func (l *loop) stop() {
	if l.serving == nil {
		return
	}
	l.serving.Stop()
	l.serving = nil
	for ; l.nspare > 0; l.nspare-- {
		l.rx.Unpop(&l.spares[(l.spare+l.nspare-1)%spareChains])
	}
}
