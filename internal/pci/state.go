package pci

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is a bus between two moments of its life.
type State struct {
	Version int
	Address uint32 // port 0xCF8
	Slots   []SlotState
}

// SlotState is a function as its guest has set it up.
type SlotState struct {
	Slot    int
	Space   []byte // the configuration space; its writable bits count
	Vectors []VectorState
}

// VectorState is an entry of an MSI-X table.
type VectorState struct {
	Addr          uint64
	Data, Control uint32
	Pending       bool
}

// State is to be called while no processor runs and the devices are paused.
func (h *Host) State() State {
	s := State{Version: StateVersion, Address: h.addr.Load()}
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
	if m := s.msix; m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i := range m.vectors {
			v := &m.vectors[i]
			st.Vectors = append(st.Vectors, VectorState{v.msi.Addr, v.msi.Data, v.control, v.pending()})
		}
	}
	return st
}

// SetState puts a bus with the same functions into a saved state: base addresses
// answer where they did and messages go where they went. Devices are restored
// after it.
func (h *Host) SetState(s State) error {
	if s.Version != StateVersion {
		return fmt.Errorf("pci: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	}
	have, last := 0, -1
	for i := range h.slots {
		if h.slots[i].Load() != nil {
			have++
		}
	}
	if have != len(s.Slots) {
		return fmt.Errorf("pci: the saved bus has %d functions, this one %d", len(s.Slots), have)
	}
	for _, st := range s.Slots {
		if err := h.check(st); err != nil {
			return err
		}
		if st.Slot <= last {
			return fmt.Errorf("pci: the saved bus has slot %d twice or out of order", st.Slot)
		}
		last = st.Slot
	}
	h.addr.Store(s.Address & 0x80FF_FFFC)
	// Off first, so that base addresses that have changed places find these free.
	for _, st := range s.Slots {
		h.slots[st.Slot].Load().space.Write(offCommand, []byte{0, 0})
	}
	for _, st := range s.Slots {
		h.slots[st.Slot].Load().space.setState(st)
	}
	return nil
}

func (h *Host) check(st SlotState) error {
	if st.Slot < 0 || st.Slot >= Slots || h.slots[st.Slot].Load() == nil {
		return fmt.Errorf("pci: the saved function in slot %d has none here", st.Slot)
	}
	s := h.slots[st.Slot].Load().space
	vectors := 0
	if s.msix != nil {
		vectors = len(s.msix.vectors)
	}
	if len(st.Space) != SpaceSize || len(st.Vectors) != vectors {
		return fmt.Errorf("pci: the saved function in slot %d has %d bytes and %d interrupts, expected %d and %d",
			st.Slot, len(st.Space), len(st.Vectors), SpaceSize, vectors)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range st.Space[:offCommand] {
		if v != s.bytes[i] {
			return fmt.Errorf("pci: the saved function in slot %d is another device", st.Slot)
		}
	}
	return nil
}

func (s *Space) setState(st SlotState) {
	if m := s.msix; m != nil {
		m.mu.Lock()
		for i, vs := range st.Vectors {
			v := &m.vectors[i]
			v.msi.Addr, v.msi.Data, v.control = vs.Addr&^3, vs.Data, vs.Control&msixVectorMask
			switch {
			case vs.Pending && v.message != nil:
				v.message.Signal()
			default:
				v.held = vs.Pending
			}
		}
		m.mu.Unlock()
	}
	s.mu.Lock()
	for i, v := range st.Space {
		s.bytes[i] = s.bytes[i]&^s.mask[i] | v&s.mask[i]
	}
	s.update()
	if s.msix != nil {
		s.msix.setControl(s.Uint16(s.msixAt + 2))
	}
	s.mu.Unlock()
}
