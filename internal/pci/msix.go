package pci

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/bus"
)

// MaxVectors is how many interrupts a function may have (PCI 3.0, section
// 6.8.2.3).
const MaxVectors = 2048

// MSIX is a function's table of message-signalled interrupts:
//
//	table  16 bytes a vector: address u64, data u32, control u32 (bit 0: masked)
//	PBA    a bit a vector: a signal is held back
//
// A vector that no device has taken with Use has no eventfd on the host.
type MSIX struct {
	fabric bus.Fabric

	mu              sync.Mutex
	vectors         []vector
	enabled, masked bool // message control
	master          bool // command register
}

type vector struct {
	msi     bus.MSI
	control uint32
	message bus.Message // nil until it is used
	routed  bool        // to msi
}

// NewMSIX makes a table of n vectors, all masked.
func NewMSIX(f bus.Fabric, n int) (*MSIX, error) {
	if n < 1 || n > MaxVectors {
		return nil, fmt.Errorf("pci: %d interrupts; a function has 1 to %d", n, MaxVectors)
	}
	m := &MSIX{fabric: f, vectors: make([]vector, n)}
	for i := range m.vectors {
		m.vectors[i].control = msixVectorMask
	}
	return m, nil
}

// Len is the number of vectors.
func (m *MSIX) Len() int { return len(m.vectors) }

// TableSize and PBASize are the bytes that both take in a BAR.
func (m *MSIX) TableSize() uint64 { return 16 * uint64(len(m.vectors)) }

// PBASize is a multiple of 8.
func (m *MSIX) PBASize() uint64 { return uint64(len(m.vectors)+63) / 64 * 8 }

// AddTo puts the capability into s: the table is table bytes into BAR bir, the
// pending bits are pba bytes into it, both multiples of 8.
func (m *MSIX) AddTo(s *Space, bir int, table, pba uint32) error {
	if table%8 != 0 || pba%8 != 0 || bir < 0 || bir >= numBARs {
		return errors.New("pci: the table or the pending bits of MSI-X are not aligned to 8 bytes")
	}
	body := binary.LittleEndian.AppendUint16(nil, uint16(len(m.vectors)-1))
	body = binary.LittleEndian.AppendUint32(body, table|uint32(bir))
	body = binary.LittleEndian.AppendUint32(body, pba|uint32(bir))
	off, err := s.AddCapability(msixID, body, []byte{0, (msixEnable | msixMaskAll) >> 8})
	if err != nil {
		return err
	}
	s.msix, s.msixAt = m, off
	s.Hook(off+2, 2, nil, func() { m.setControl(s.Uint16(off + 2)) })
	return nil
}

func (m *MSIX) setControl(v uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.enabled, m.masked = v&msixEnable != 0, v&msixMaskAll != 0
	m.updateAll()
}

// setMaster sets the bus master bit: without it the function sends no messages.
func (m *MSIX) setMaster(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.master != on {
		m.master = on
		m.updateAll()
	}
}

func (m *MSIX) updateAll() {
	for i := range m.vectors {
		m.update(&m.vectors[i])
	}
}

func (m *MSIX) open(v *vector) bool {
	return m.enabled && !m.masked && m.master && v.control&msixVectorMask == 0
}

// update routes or masks a vector's message according to the registers. A route that
// the host refuses leaves it masked: the guest misses interrupts, as it does with a
// wrong address on hardware.
func (m *MSIX) update(v *vector) {
	if v.message == nil {
		return
	}
	switch open := m.open(v); {
	case open && !v.routed:
		v.routed = v.message.Route(v.msi) == nil
	case !open && v.routed:
		v.routed = false
		_ = v.message.Mask()
	}
}

// Use returns the message of vector i, and makes it at the first call. The MSIX
// closes it.
func (m *MSIX) Use(i int) (bus.Message, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i < 0 || i >= len(m.vectors) {
		return nil, fmt.Errorf("pci: no interrupt %d; the function has %d", i, len(m.vectors))
	}
	v := &m.vectors[i]
	if v.message == nil {
		msg, err := m.fabric.NewMessage()
		if err != nil {
			return nil, err
		}
		v.message = msg
		m.update(v)
	}
	return v.message, nil
}

// ReadTable is a guest's read off bytes into the table. Accesses are aligned and
// of 4 or 8 bytes; others read as 0 and write nothing.
func (m *MSIX) ReadTable(off uint64, p []byte) {
	clear(p)
	if !m.inTable(off, p) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i < len(p); i += 4 {
		v := &m.vectors[off/16]
		binary.LittleEndian.PutUint32(p[i:], v.get(off%16+uint64(i)))
	}
}

// WriteTable is a guest's write.
func (m *MSIX) WriteTable(off uint64, p []byte) {
	if !m.inTable(off, p) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v := &m.vectors[off/16]
	old := v.msi
	for i := 0; i < len(p); i += 4 {
		v.set(off%16+uint64(i), binary.LittleEndian.Uint32(p[i:]))
	}
	if v.msi != old {
		v.routed = v.routed && v.message.Route(v.msi) == nil
	}
	m.update(v)
}

func (m *MSIX) inTable(off uint64, p []byte) bool {
	n := uint64(len(p))
	return (n == 4 || n == 8) && off%n == 0 && off < m.TableSize()
}

func (v *vector) get(off uint64) uint32 {
	switch off {
	case 0:
		return uint32(v.msi.Addr)
	case 4:
		return uint32(v.msi.Addr >> 32)
	case 8:
		return v.msi.Data
	}
	return v.control
}

func (v *vector) set(off uint64, w uint32) {
	switch off {
	case 0:
		v.msi.Addr = v.msi.Addr&^0xFFFF_FFFF | uint64(w&^3)
	case 4:
		v.msi.Addr = v.msi.Addr&0xFFFF_FFFF | uint64(w)<<32
	case 8:
		v.msi.Data = w
	default:
		v.control = w & msixVectorMask
	}
}

// ReadPBA is a guest's read off bytes into the pending bits. They can't be
// written.
func (m *MSIX) ReadPBA(off uint64, p []byte) {
	clear(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range p {
		for bit := range 8 {
			if at := (off+uint64(i))*8 + uint64(bit); at < uint64(len(m.vectors)) && m.vectors[at].pending() {
				p[i] |= 1 << bit
			}
		}
	}
}

func (v *vector) pending() bool {
	return v.message != nil && !v.routed && v.message.Pending()
}

// Close closes the messages. They are not signalled any more.
func (m *MSIX) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	for i := range m.vectors {
		if v := &m.vectors[i]; v.message != nil {
			err = errors.Join(err, v.message.Close())
			v.message, v.routed = nil, false
		}
	}
	return err
}
