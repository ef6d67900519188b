package virtiotest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/mayfly-vm/mayfly/virtio"
)

// Echo is the simplest device: each request's readable bytes come back in its
// writable ones. It is there to test what stands above devices.
type Echo struct {
	Sizes []uint16 // of the queues; nil: one of 256
	Kind  virtio.Type
	// Limit, if not 0, is how many requests it answers before it leaves the rest in
	// the ring, as a device does that waits for somebody.
	Limit int64
	// OnConfig is called with each write to the configuration space.
	OnConfig func(off uint64, p []byte)

	Starts, Stops, Answered atomic.Int64

	mu      sync.Mutex
	config  [32]byte
	session *virtio.Session
	loops   []*virtio.Loop
}

// EchoState is what an Echo saves.
type EchoState struct {
	Version int
	Config  [32]byte
}

// Type is that of an entropy device unless Kind says otherwise: it is the one
// whose drivers expect least.
func (e *Echo) Type() virtio.Type {
	if e.Kind != 0 {
		return e.Kind
	}
	return virtio.TypeEntropy
}

// Features are none of its own.
func (e *Echo) Features() virtio.Feature { return 0 }

// QueueSizes are Sizes.
func (e *Echo) QueueSizes() []uint16 {
	if e.Sizes == nil {
		return []uint16{256}
	}
	return e.Sizes
}

// ReadConfig reads 32 bytes that WriteConfig and SetConfig write.
func (e *Echo) ReadConfig(off uint64, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	virtio.ReadSpace(e.config[:], off, p)
}

// WriteConfig keeps what is written.
func (e *Echo) WriteConfig(off uint64, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if off < uint64(len(e.config)) {
		copy(e.config[off:], p)
	}
	if e.OnConfig != nil {
		e.OnConfig(off, append([]byte(nil), p...))
	}
}

// SetConfig changes the configuration space from the device's side.
func (e *Echo) SetConfig(off int, p []byte) {
	e.mu.Lock()
	copy(e.config[off:], p)
	s := e.session
	e.mu.Unlock()
	if s != nil {
		s.ConfigChanged()
	}
}

// Start serves every queue.
func (e *Echo) Start(s *virtio.Session) error {
	e.Starts.Add(1)
	e.mu.Lock()
	e.session = s
	e.mu.Unlock()
	for _, q := range s.Queues {
		if q != nil {
			e.loops = append(e.loops, s.Serve(q, e.work(q)))
		}
	}
	return nil
}

func (e *Echo) work(q *virtio.Queue) func() bool {
	var c virtio.Chain
	return func() bool {
		did := false
		for range 64 {
			if e.Limit != 0 && e.Answered.Load() >= e.Limit || !q.Pop(&c) {
				break
			}
			if e.Limit != 0 && e.Answered.Add(1) > e.Limit {
				e.Answered.Add(-1)
				q.Unpop(&c)
				break
			}
			if e.Limit == 0 {
				e.Answered.Add(1)
			}
			q.Push(&c, echo(&c))
			did = true
		}
		q.Flush()
		return did
	}
}

// echo copies without a buffer between.
func echo(c *virtio.Chain) (n int) {
	for p := range c.Out.Bytes {
		n += c.In.CopyIn(p, n)
	}
	return n
}

// Stop ends the loops.
func (e *Echo) Stop() {
	e.Stops.Add(1)
	for _, l := range e.loops {
		l.Stop()
	}
	e.loops = nil
	e.mu.Lock()
	e.session = nil
	e.mu.Unlock()
}

// State is the configuration space.
func (e *Echo) State() any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return &EchoState{Version: 1, Config: e.config}
}

// SetState takes it.
func (e *Echo) SetState(s any) error {
	st, ok := s.(*EchoState)
	if !ok || st.Version != 1 {
		return errors.New("virtiotest: not an Echo's state")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.config = st.Config
	return nil
}

// Close has nothing to give back.
func (e *Echo) Close() error { return nil }
