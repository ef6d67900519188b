package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// SpaceSize is the size of a function's configuration space in bytes: that of
// conventional PCI. The rest of ECAM reads as ones, from which Linux concludes that
// there is no extended space; else it would search that of the host bridge for each
// extended capability that it supports.
const SpaceSize = 256

// Offsets in the header of type 0 (PCI 3.0, section 6.1).
const (
	offVendor      = 0x00
	offDevice      = 0x02
	offCommand     = 0x04
	offStatus      = 0x06
	offRevision    = 0x08
	offClass       = 0x09 // 3 bytes: interface, subclass, class
	offBAR         = 0x10
	offSubVendor   = 0x2C
	offSubDevice   = 0x2E
	offCapPointer  = 0x34
	offLine        = 0x3C // interrupt line: the guest may store what it likes
	firstCap       = 0x40
	statusCapList  = 1 << 4
	cmdMemory      = 1 << 1
	cmdMaster      = 1 << 2
	cmdNoINTx      = 1 << 10
	cmdWritable    = cmdMemory | cmdMaster | cmdNoINTx
	barWide        = 1 << 2 // 64-bit, in bits 2:1
	barPrefetch    = 1 << 3
	numBARs        = 6
	smallestBAR    = 16
	largestBAR     = 1 << 40
	msixID         = 0x11
	msixEnable     = 1 << 15
	msixMaskAll    = 1 << 14
	msixVectorMask = 1
)

// ID identifies a function.
type ID struct {
	Vendor, Device       uint16
	Class                uint32 // class, subclass and interface: 0xCCSSII
	Revision             uint8
	SubVendor, SubDevice uint16
}

// Space is a function's configuration space: bytes, and which of their bits the
// guest can write. It is put together before the function is added to a Host.
type Space struct {
	mu    sync.Mutex // held during an access, hooks included
	bytes [SpaceSize]byte
	mask  [SpaceSize]byte
	bars  [numBARs]BAR
	hooks []hook
	msix  *MSIX
	// msixAt is the offset of its capability.
	msixAt int
	// nextCap is the offset of the next capability, lastCap that of the pointer to it.
	nextCap, lastCap int
	changed          func() // command or base addresses were written; the Host's
}

// hook is code that an access to n bytes from off on runs.
type hook struct {
	off, n      int
	read, write func()
}

// NewSpace makes a header of type 0 with nothing else.
func NewSpace(id ID) *Space {
	s := &Space{nextCap: firstCap, lastCap: offCapPointer}
	le := binary.LittleEndian
	le.PutUint16(s.bytes[offVendor:], id.Vendor)
	le.PutUint16(s.bytes[offDevice:], id.Device)
	le.PutUint32(s.bytes[offRevision:], id.Class<<8|uint32(id.Revision))
	le.PutUint16(s.bytes[offSubVendor:], id.SubVendor)
	le.PutUint16(s.bytes[offSubDevice:], id.SubDevice)
	le.PutUint16(s.mask[offCommand:], cmdWritable)
	s.mask[offLine] = 0xFF
	return s
}

// AddCapability appends a capability to the list: body is what follows its id and its
// pointer to the next; writable has a bit for each of body's bits that the guest can
// write and may be shorter. It returns the capability's offset.
func (s *Space) AddCapability(id byte, body, writable []byte) (int, error) {
	off, n := s.nextCap, 2+len(body)
	if off+n > SpaceSize {
		return 0, fmt.Errorf("pci: a capability of %d bytes has no room at %#x", n, off)
	}
	s.bytes[off] = id
	copy(s.bytes[off+2:], body)
	copy(s.mask[off+2:off+n], writable)
	s.bytes[s.lastCap] = byte(off)
	s.bytes[offStatus] |= statusCapList
	s.lastCap, s.nextCap = off+1, (off+n+3)&^3
	return off, nil
}

// Hook calls read before n bytes from off on are read, and write after they were
// written. Both may use Uint32 and SetUint32.
func (s *Space) Hook(off, n int, read, write func()) {
	s.hooks = append(s.hooks, hook{off, n, read, write})
}

// Uint16, Uint32 and SetUint32 are for hooks, and before the function is added.
func (s *Space) Uint16(off int) uint16 { return binary.LittleEndian.Uint16(s.bytes[off:]) }

// Uint32 is the four bytes at off.
func (s *Space) Uint32(off int) uint32 { return binary.LittleEndian.Uint32(s.bytes[off:]) }

// SetUint32 sets them, whatever the guest may write.
func (s *Space) SetUint32(off int, v uint32) { binary.LittleEndian.PutUint32(s.bytes[off:], v) }

// Read is a guest's read; what is outside the space is all ones.
func (s *Space) Read(off uint64, p []byte) {
	if off >= SpaceSize || uint64(len(p)) > SpaceSize-off {
		ones(p)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.hooks {
		if h := &s.hooks[i]; h.read != nil && h.touched(int(off), len(p)) {
			h.read()
		}
	}
	copy(p, s.bytes[off:])
}

// Write is a guest's write. Only writable bits change.
func (s *Space) Write(off uint64, p []byte) {
	if off >= SpaceSize || uint64(len(p)) > SpaceSize-off {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := int(off)
	for i, v := range p {
		m := s.mask[at+i]
		s.bytes[at+i] = s.bytes[at+i]&^m | v&m
	}
	if overlap(at, len(p), offCommand, 2) || overlap(at, len(p), offBAR, 4*numBARs) {
		s.update()
	}
	for i := range s.hooks {
		if h := &s.hooks[i]; h.write != nil && h.touched(at, len(p)) {
			h.write()
		}
	}
}

// update applies the command register and the base addresses.
func (s *Space) update() {
	if s.msix != nil {
		s.msix.setMaster(s.Uint16(offCommand)&cmdMaster != 0)
	}
	if s.changed != nil {
		s.changed()
	}
}

func (h *hook) touched(off, n int) bool { return overlap(off, n, h.off, h.n) }

func overlap(a, n, b, m int) bool { return a < b+m && b < a+n }

func ones(p []byte) {
	for i := range p {
		p[i] = 0xFF
	}
}

var errBAR = errors.New("pci: a base address register has a size that is no power of two or is below 16, has no handler, or has a number that is taken")
