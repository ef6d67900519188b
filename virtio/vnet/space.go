package vnet

import (
	"encoding/binary"
	"sync"

	"github.com/mayfly-vm/mayfly/virtio"
)

// The configuration space (section 5.1.4), little-endian:
//
//	0  mac u8[6]
//	6  status u16
//	8  max_virtqueue_pairs u16
//	10 mtu u16
//	12 speed u32, Mbit/s
//	16 duplex u8: 1 is full
const (
	statusAt = 6
	pairsAt  = 8
	mtuAt    = 10
	speedAt  = 12
	duplexAt = 16
	spaceLen = 17
)

// Bits of status.
const (
	statusLinkUp   = 1
	statusAnnounce = 2
)

// speed is what a card says of itself where nothing limits it, in Mbit/s. Bonding
// drivers and monitoring want a number.
const speed = 10_000

type space struct {
	mu sync.RWMutex
	b  [spaceLen]byte
}

func (s *space) init(mac MAC, pairs, mtu int) {
	copy(s.b[:], mac[:])
	binary.LittleEndian.PutUint16(s.b[pairsAt:], uint16(pairs))
	binary.LittleEndian.PutUint16(s.b[mtuAt:], uint16(mtu))
	binary.LittleEndian.PutUint32(s.b[speedAt:], speed)
	s.b[duplexAt] = 1
}

func (s *space) read(off uint64, p []byte) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	virtio.ReadSpace(s.b[:], off, p)
}

func (s *space) mac() (m MAC) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	copy(m[:], s.b[:])
	return m
}

// setMAC tells whether that changed anything.
func (s *space) setMAC(m MAC) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := MAC(s.b[:len(m)])
	copy(s.b[:], m[:])
	return m != old
}

// setStatus sets or clears a bit and tells whether that changed anything.
func (s *space) setStatus(bit uint16, on bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := binary.LittleEndian.Uint16(s.b[statusAt:])
	v := old &^ bit
	if on {
		v |= bit
	}
	binary.LittleEndian.PutUint16(s.b[statusAt:], v)
	return v != old
}

func (s *space) status() uint16 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return binary.LittleEndian.Uint16(s.b[statusAt:])
}
