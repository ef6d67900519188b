package blk

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
)

// poolThreads is how many requests of one queue wait in threads at once, at most.
const poolThreads = 16

// pool is a queue's threads: goroutines that make blocking calls. They come with
// the work.
type pool struct {
	session *virtio.Session
	image   disk.Image
	wake    func()
	work    chan *request
	flight  int // of the queue's goroutine
	threads int
	ended   sync.WaitGroup

	mu    sync.Mutex
	idle  int
	armed bool
	done  []outcome
	some  sync.Cond
}

// outcome is what became of a request.
type outcome struct {
	index uint32
	n     int
	err   error
}

func newPool(s *virtio.Session, img disk.Image, wake func(), size int) *pool {
	p := &pool{session: s, image: img, wake: wake, work: make(chan *request, size), done: make([]outcome, 0, size)}
	p.some.L = &p.mu
	return p
}

func (p *pool) start(r *request) {
	p.flight++
	p.mu.Lock()
	busy := p.idle < p.flight
	p.mu.Unlock()
	if busy && p.threads < min(poolThreads, p.flight) {
		p.threads++
		p.ended.Add(1)
		go p.run()
	}
	p.work <- r
}

func (p *pool) run() {
	defer p.ended.Done()
	var r *request
	var o outcome
	// For an image in a format of its own, guest memory is touched here.
	perform := func() { o.n, o.err = p.perform(r) }
	p.mu.Lock()
	p.idle++
	p.mu.Unlock()
	for r = range p.work {
		p.mu.Lock()
		p.idle--
		p.mu.Unlock()
		o = outcome{index: r.index, err: unix.EFAULT}
		p.session.Guard(perform)
		p.mu.Lock()
		p.idle++
		p.done = append(p.done, o)
		armed := p.armed
		p.some.Signal()
		p.mu.Unlock()
		if armed {
			p.wake()
		}
	}
}

// errAbandoned ends a request that nobody waits for.
var errAbandoned = errors.New("abandoned")

func (p *pool) perform(r *request) (int, error) {
	if p.session.Ending() {
		return 0, errAbandoned
	}
	switch r.kind {
	case typeIn:
		return p.image.Readv(r.front(), r.off)
	case typeOut:
		return p.image.Writev(r.front(), r.off, r.durable)
	case typeFlush:
		return 0, p.image.Flush()
	}
	for i := range r.ranges {
		if err := p.clear(r.kind, r.ranges[i]); err != nil {
			return 0, err
		}
	}
	if r.kind == typeWriteZeroes && r.durable {
		return 0, p.image.Flush()
	}
	return 0, nil
}

// What one call to the host clears, at most. It may write that much: a file system
// writes dirty pages out before it takes them away. A discard is not cut finer, since
// devices ignore what is less than their unit.
const (
	zeroPiece    = 1 << 20
	discardPiece = 8 << 20
)

// clear discards or zeroes a range, in pieces that end at multiples of their size.
func (p *pool) clear(kind uint32, z zone) error {
	piece := int64(zeroPiece)
	if kind == typeDiscard {
		piece = discardPiece
	}
	for z.n > 0 {
		if p.session.Ending() {
			return errAbandoned
		}
		n := min(z.n, piece-z.off%piece)
		var err error
		if kind == typeDiscard {
			err = p.image.Discard(z.off, n)
		} else {
			err = p.image.Zero(z.off, n, z.unmap)
		}
		if err != nil {
			return err
		}
		z.off, z.n = z.off+n, z.n-n
	}
	return nil
}

func (p *pool) next() (outcome, bool) {
	if p.flight == 0 {
		return outcome{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.done)
	if n == 0 {
		return outcome{}, false
	}
	o := p.done[n-1]
	p.done = p.done[:n-1]
	p.flight--
	return o, true
}

func (p *pool) arm(on bool) {
	p.mu.Lock()
	p.armed = on
	p.mu.Unlock()
}

// wait waits until next has something.
func (p *pool) wait() {
	p.mu.Lock()
	for len(p.done) == 0 {
		p.some.Wait()
	}
	p.mu.Unlock()
}

func (p *pool) close() {
	close(p.work)
	p.ended.Wait()
}
