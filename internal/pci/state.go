package pci

import (
	"encoding/binary"
	"fmt"

	"github.com/mayfly-vm/mayfly/memory"
)

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a bus remembers.
type State struct {
	Version int
	// Address is CONFIG_ADDRESS, port 0xCF8 (PCI 3.0, section 3.2.2.3.2): bit 31 enables
	// the data ports, bits 2-23 select; the others are 0.
	Address uint32
	Slots   []SlotState // of all slots that have a function, in ascending order
}

// SlotState is a function as its guest has set it up.
type SlotState struct {
	Slot int
	// Space is the configuration space (PCI 3.0, section 6.1), SpaceSize bytes. Bits
	// that the guest can't write are those of the restored function too. A base
	// address register that the guest is sizing has the ones that it wrote.
	Space []byte
	// Mapped has a bit for each base address register whose block answers at its
	// address. One that should does not while another block is there.
	Mapped uint8
	// Vectors is the MSI-X table, if there is one.
	Vectors []VectorState
}

// VectorState is an entry of an MSI-X table (PCI 3.0, section 6.8.2).
type VectorState struct {
	Addr    uint64 // offset 0: bits 0 and 1 are 0
	Data    uint32 // offset 8
	Control uint32 // offset 12: bit 0, masked; the others are 0
	Pending bool   // its bit in the pending bit array
}

// State returns a *State. No processor runs, and the devices are paused.
func (h *Host) State() any {
	s := &State{Version: StateVersion, Address: h.addr.Load()}
	for i := range h.slots {
		if sl := h.slots[i].Load(); sl != nil {
			s.Slots = append(s.Slots, sl.space.state(i))
		}
	}
	return s
}

func (s *Space) state(number int) SlotState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := SlotState{Slot: number, Space: append([]byte(nil), s.bytes[:]...)}
	for i := range s.bars {
		if s.bars[i].mapped {
			st.Mapped |= 1 << i
		}
	}
	if s.msix != nil {
		st.Vectors = s.msix.state()
	}
	return st
}

func (m *MSIX) state() []VectorState {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]VectorState, len(m.vectors))
	for i := range m.vectors {
		v := &m.vectors[i]
		list[i] = VectorState{v.msi.Addr, v.msi.Data, v.control, v.pending()}
	}
	return list
}

// SetState takes a *State of a bus with the same functions: base addresses answer
// where they did and messages go where they went. It is called before the functions'
// own state is restored. It checks the state and leaves the bus as it is when it
// returns an error, unless what has failed is the host or the bus of Config.MMIO.
func (h *Host) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("pci: the saved state is a %T, not a bus's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("pci: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	case s.Address&^addressWritable != 0:
		return fmt.Errorf("pci: the saved Address is %#x; only bits %#x can be set", s.Address, uint32(addressWritable))
	}
	if err := h.checkSlots(s.Slots); err != nil {
		return err
	}
	for i := range s.Slots {
		if err := h.slots[s.Slots[i].Slot].Load().space.makeMessages(s.Slots[i].Vectors); err != nil {
			return fmt.Errorf("pci: slot %d: %w", s.Slots[i].Slot, err)
		}
	}
	h.addr.Store(s.Address)
	// Unmapped first, so that blocks that have changed places find these free.
	for i := range s.Slots {
		h.slots[s.Slots[i].Slot].Load().unmapAll()
	}
	for i := range s.Slots {
		if err := h.slots[s.Slots[i].Slot].Load().restore(&s.Slots[i]); err != nil {
			return fmt.Errorf("pci: slot %d: %w", s.Slots[i].Slot, err)
		}
	}
	return nil
}

// checkSlots requires a possible state of each function that there is.
func (h *Host) checkSlots(slots []SlotState) error {
	have, last := 0, -1
	for i := range h.slots {
		if h.slots[i].Load() != nil {
			have++
		}
	}
	if have != len(slots) {
		return fmt.Errorf("pci: the saved bus has %d functions, this one %d", len(slots), have)
	}
	var blocks []block
	for i := range slots {
		st := &slots[i]
		switch {
		case st.Slot < 0 || st.Slot >= Slots || h.slots[st.Slot].Load() == nil:
			return fmt.Errorf("pci: the saved bus has a function in slot %d; this one has none there", st.Slot)
		case st.Slot <= last:
			return fmt.Errorf("pci: the saved bus has slot %d twice or out of order", st.Slot)
		}
		last = st.Slot
		mapped, err := h.slots[st.Slot].Load().check(st)
		if err != nil {
			return fmt.Errorf("pci: the saved function in slot %d: %w", st.Slot, err)
		}
		for _, b := range mapped {
			for _, o := range blocks {
				if b.Overlaps(o.Range) {
					return fmt.Errorf("pci: the saved bus has base addresses of slots %d and %d mapped at %#x and %#x, which overlap", o.slot, b.slot, uint64(o.Addr), uint64(b.Addr))
				}
			}
			blocks = append(blocks, b)
		}
	}
	return nil
}

// block is where a base address register of a saved function answers.
type block struct {
	memory.Range
	slot int
}

// check returns the blocks that st has mapped.
func (s *slot) check(st *SlotState) (mapped []block, err error) {
	space, vectors := s.space, 0
	if space.msix != nil {
		vectors = len(space.msix.vectors)
	}
	switch {
	case len(st.Space) != SpaceSize:
		return nil, fmt.Errorf("its Space has %d bytes, expected %d", len(st.Space), SpaceSize)
	case len(st.Vectors) != vectors:
		return nil, fmt.Errorf("it has %d interrupts, this one %d", len(st.Vectors), vectors)
	}
	space.mu.Lock()
	defer space.mu.Unlock()
	for i, v := range st.Space {
		if (v^space.bytes[i])&^space.mask[i] != 0 {
			return nil, fmt.Errorf("byte %#x of its Space is %#x and here %#x, of which a guest can write bits %#x: it is another device", i, v, space.bytes[i], space.mask[i])
		}
	}
	for i, v := range st.Vectors {
		if v.Addr&3 != 0 || v.Control&^msixVectorMask != 0 {
			return nil, fmt.Errorf("its interrupt %d has address %#x and control %#x; bits 0x3 and %#x are reserved", i, v.Addr, v.Control, ^uint32(msixVectorMask))
		}
	}
	for i := range 8 {
		if st.Mapped&(1<<i) == 0 {
			continue
		}
		if i >= numBARs || space.bars[i].Size == 0 {
			return nil, fmt.Errorf("it has base address %d mapped, which does not exist", i)
		}
		addr := space.bars[i].address(st.Space[offBAR+4*i:])
		if binary.LittleEndian.Uint16(st.Space[offCommand:])&cmdMemory == 0 || !s.mappable(addr, space.bars[i].Size) {
			return nil, fmt.Errorf("it has base address %d mapped at %#x, which is outside the windows, or its memory space is disabled", i, addr)
		}
		mapped = append(mapped, block{memory.Range{Addr: memory.Addr(addr), Size: space.bars[i].Size}, st.Slot})
	}
	return mapped, nil
}

// makeMessages makes those that hold signals back.
func (s *Space) makeMessages(vectors []VectorState) error {
	for i := range vectors {
		if vectors[i].Pending {
			if _, err := s.msix.Use(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *slot) unmapAll() {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	for i := range s.space.bars {
		s.unmap(i)
	}
}

// restore takes a state that was checked, with nothing mapped.
func (s *slot) restore(st *SlotState) error {
	space := s.space
	space.mu.Lock()
	defer space.mu.Unlock()
	copy(space.bytes[:], st.Space)
	if m := space.msix; m != nil {
		m.restore(st.Vectors, space.Uint16(space.msixAt+2), space.Uint16(offCommand)&cmdMaster != 0)
	}
	for i := range space.bars {
		if st.Mapped&(1<<i) == 0 {
			continue
		}
		if err := s.mapAt(i, space.address(i)); err != nil {
			return err
		}
	}
	return nil
}

// restore sets table, message control and bus mastering at once: no message is sent
// in between.
func (m *MSIX) restore(vectors []VectorState, control uint16, master bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.master = false
	m.updateAll()
	for i, vs := range vectors {
		v := &m.vectors[i]
		v.msi.Addr, v.msi.Data, v.control = vs.Addr, vs.Data, vs.Control
		if vs.Pending {
			v.message.Signal()
		}
	}
	m.master, m.enabled, m.masked = master, control&msixEnable != 0, control&msixMaskAll != 0
	m.updateAll()
}
