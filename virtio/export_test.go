package virtio

// TakeKick takes the queue's kicks, and reports whether there were any.
func (q *Queue) TakeKick() bool { return q.kick.Clear() }
