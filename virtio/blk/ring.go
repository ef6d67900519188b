package blk

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/sys/uring"
	"github.com/mayfly-vm/mayfly/virtio"
)

// ringEntries is how many requests go to the kernel in one call, at most.
const ringEntries = 128

// stagedBytes is how much they may move: the kernel may do all of it within the call.
const stagedBytes = 16 << 20

// cancelTag is the UserData of a request to cancel others.
const cancelTag = ^uint64(0)

// theFile is the index of the image's file in a ring's list.
const theFile = 0

// ring is a queue's io_uring while a worker uses it.
type ring struct {
	u      *uring.Ring
	flight int // transfers
	staged int
	bytes  int            // of the staged transfers
	joint  joint          // the last one that was put into the ring
	sqe    *uring.SQE     // its
	waker  [1]unix.PollFd // waitFor's
}

// makeRings makes a ring for each queue of an image's file, or none. A running machine
// may not be able to make any: its process is confined.
//
// The kernel lets go of a ring's file some time after the ring, also when its process has
// ended. So the rings have the file open once more: the lock of the image is not on that.
func makeRings(queues []uint16, f *disk.File) (rings []*uring.Ring, err error) {
	fd, done := ringFile(f)
	defer done()
	for _, size := range queues {
		// The completions' ring is twice as long; it must hold all that is under way.
		entries := max(1, min(ringEntries, int(size)))
		for 2*entries < int(size) {
			entries *= 2
		}
		// Cooperative: the goroutine that polls for completions is not interrupted to be
		// notified of them. Measured with a driver that polls, at depth 32 past the page
		// cache: 13% more requests.
		u, err := uring.New(entries, uring.Options{Cooperative: true, Files: []int32{theFile: int32(fd)}})
		if err != nil {
			closeRings(rings)
			return nil, err
		}
		rings = append(rings, u)
	}
	return rings, nil
}

// ringFile is a descriptor of an image's file for a ring: without the image's lock, where it
// can be had, until done is called. -1: the image has no file that rings can use.
func ringFile(f *disk.File) (fd int, done func()) {
	if f == nil {
		return -1, func() {}
	}
	if own, err := f.Unlocked(); err == nil {
		return own, func() { unix.Close(own) }
	}
	return f.FD(), func() {}
}

func closeRings(rings []*uring.Ring) {
	for _, u := range rings {
		u.Close()
	}
}

// newRing takes a ring into use. What another worker has left in it is not handed over.
func newRing(u *uring.Ring) *ring {
	u.Discard()
	return &ring{u: u}
}

// start puts r's transfer into the ring, with the one before if that may be; submit
// hands it over.
func (e *ring) start(r *request) (joined bool) {
	if e.joint.add(r) {
		e.bytes += r.left
		e.transfer(e.sqe, e.joint.first, e.joint.vec())
		return true
	}
	if e.bytes += min(r.left, long); e.bytes > stagedBytes {
		e.enter(0)
	}
	s := e.entry()
	s.UserData = uint64(r.index)
	e.flight++
	e.staged++
	e.joint.begin(r)
	e.sqe = s
	if r.kind == typeFlush {
		s.Fdatasync(theFile)
	} else {
		e.transfer(s, r, r.front())
	}
	return false
}

// entry is a free one for a request to the kernel.
func (e *ring) entry() *uring.SQE {
	s := e.u.Next()
	if s == nil {
		e.enter(0)
		s = e.u.Next()
	}
	return s
}

// cancel has the kernel end what it can of the transfers under way; false: a host
// short of memory takes no request now.
func (e *ring) cancel() bool {
	s := e.entry()
	if s == nil {
		return false
	}
	s.CancelAll()
	s.UserData = cancelTag
	e.enter(0)
	return true
}

// transfer has s move v as r says.
func (e *ring) transfer(s *uring.SQE, r *request, v virtio.Vec) {
	switch {
	case r.kind == typeIn:
		s.Readv(theFile, v, r.off, 0)
	case r.durable:
		s.Writev(theFile, v, r.off, unix.RWF_DSYNC)
	default:
		s.Writev(theFile, v, r.off, 0)
	}
}

// submit hands over what was started and tells whether that was anything.
func (e *ring) submit() bool {
	if e.staged == 0 {
		return false
	}
	e.enter(0)
	return true
}

func (e *ring) enter(wait int) {
	e.joint.first, e.bytes = nil, 0
	if err := e.u.Submit(wait); err != nil {
		// A defect of ours, or an unexpected kernel error.
		panic(err)
	}
	e.staged = e.u.Pending() // what a host short of memory did not take yet
}

func (e *ring) next() (index uint32, res int32, ok bool) {
	if e.flight == 0 {
		return 0, 0, false
	}
	if !e.u.Ready() {
		e.u.Nudge()
	}
	var c uring.CQE
	if !e.u.Pop(&c) || c.UserData == cancelTag && !e.u.Pop(&c) {
		return 0, 0, false
	}
	e.flight--
	return uint32(c.UserData), c.Res, true
}

// waitFor returns when something is done, or after d.
func (e *ring) waitFor(d time.Duration) {
	e.submit()
	e.waker[0] = unix.PollFd{Fd: int32(e.u.FD()), Events: unix.POLLIN}
	_, _ = unix.Poll(e.waker[:], int(d.Milliseconds()))
}
