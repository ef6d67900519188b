package usernet

import (
	"net/netip"
	"sync"
)

// The most sockets of the host that one network holds at a time, by what they are
// for. Each costs this process a descriptor and, with its endpoint in the network
// stack and its goroutines, some 20 KiB; a guest or an outside host can ask for
// any number of them.
const (
	maxStreams   = 768 // TCP connections of the machine to the outside
	maxDials     = 256 // of those, the ones that are not established yet
	maxDatagrams = 256 // UDP flows of the machine to the outside
	maxForwarded = 512 // TCP connections accepted at forwarded ports
	maxQueries   = 128 // questions under way to the host's resolvers
	maxPings     = 64  // ICMP sockets
	maxSockets   = maxStreams + maxDatagrams + maxForwarded + maxQueries + maxPings

	// maxForwardFlows is for UDP forwards: their flows share the forward's socket, and
	// cost memory alone.
	maxForwardFlows = 512
)

// Descriptors is the most that a network with so many forwards opens, with what
// the process itself needs (standard streams, epoll, the machine's socket,
// netlink, a file being read, a connection that is accepted to be refused).
func Descriptors(forwards int) int { return maxSockets + forwards + 64 }

// MemoryLimit is the limit in bytes that mayfly-usernet gives the Go runtime. It
// holds what the bounds above add up to.
const MemoryLimit = 44 << 20

// shares bounds a resource and divides it between peers: a peer gets no more than
// what is then still free, so that one peer can take half of all, two a third each,
// and there is always some left for another.
type shares struct {
	mu   sync.Mutex
	most int
	used int
	by   map[netip.Addr]int
}

func newShares(most int) *shares { return &shares{most: most, by: map[netip.Addr]int{}} }

// take reports whether peer gets one; it gives it back by put.
func (s *shares) take(peer netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[peer] >= s.most-s.used {
		return false
	}
	s.used++
	s.by[peer]++
	return true
}

func (s *shares) put(peer netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	if s.by[peer]--; s.by[peer] == 0 {
		delete(s.by, peer)
	}
}

// holds is how many peer has.
func (s *shares) holds(peer netip.Addr) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[peer]
}

// The bytes that TCP connections may keep for a slow reader: both directions of
// all connections together, and the bounds of one direction of one connection.
// Between machine and network there is no distance that needs more.
const (
	allBuffers = 12 << 20
	maxBuffer  = 512 << 10
	minBuffer  = 4 << 10
)

// bufferPool divides allBuffers: the more connections there are, the smaller are
// the buffers of the next.
type bufferPool struct {
	mu   sync.Mutex
	free int
}

// take returns the size of the next connection's buffers, each way.
func (b *bufferPool) take() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := min(max(b.free/20, minBuffer), maxBuffer)
	b.free -= 2 * size
	return size
}

func (b *bufferPool) put(size int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += 2 * size
}
