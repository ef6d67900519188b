package virtio

// Serve starts a Loop for one queue: it runs work once, and then whenever the driver
// kicks or somebody calls Queue.Wake. See LoopConfig.Work.
func (s *Session) Serve(q *Queue, work func() bool) *Loop { return s.ServeWhile(q, work, nil) }

// ServeWhile is Serve for a queue whose chains may have to wait: buffers for what has
// not come yet, requests beyond a limit. wants reports, when work found nothing to do,
// whether a chain would change that. If not, the goroutine sleeps although there are
// chains, and until somebody calls Queue.Wake, or one of the timers ends the sleep, the
// driver need not kick.
func (s *Session) ServeWhile(q *Queue, work, wants func() bool, timers ...*Timer) *Loop {
	c := LoopConfig{Queues: []*Queue{q}, Work: work, Timers: timers}
	if wants != nil {
		c.Idle = func() bool { return wants() && q.EnableNotify() }
	}
	return s.newLoop(c).Run()
}
