package serial

import "fmt"

// StateVersion is the version of State that this code writes and reads.
const StateVersion = 1

// State is what a UART remembers (PC16550D data sheet, section 8; offsets are those
// of the registers). Output that was accepted is no part of it: the device that was
// saved writes it to its Config.Out, and the restored one begins with an empty
// transmitter.
type State struct {
	Version int
	IER     uint8 // offset 1: bits 0-3
	FCR     uint8 // offset 2, written: bits 0, 3, 6 and 7; 0 with FIFOs off
	LCR     uint8 // offset 3
	MCR     uint8 // offset 4: bits 0-4
	SCR     uint8 // offset 7
	// DLL and DLM are the divisor latch: offsets 0 and 1 while LCR bit 7 is set.
	DLL, DLM uint8
	Overrun  bool  // LSR (offset 5) bit 1
	Delta    uint8 // MSR (offset 6) bits 0-3
	// THRPending: IIR (offset 2, read) has yet to report the empty transmitter.
	THRPending bool
	// FIFO is the receiver FIFO, oldest first: bits 0-7 a byte, or bit 8 alone a break.
	// It has at most 16 elements, 1 with FIFOs off.
	FIFO []uint16
	// Queue is input for which the FIFO has no room or that the guest does not ask for
	// yet, oldest first, encoded as in FIFO: at most 4096 elements.
	Queue []uint16
	// Listening: the guest has polled for input. Until then Polls, 0 to 7, is its reads
	// of LSR since it accessed another register.
	Listening bool
	Polls     uint8
	// Scanned is the end of the guest's output, as far as it begins one of the texts that
	// Config.Scan searches for.
	Scanned []byte
}

// State returns a *State.
func (d *Device) State() any {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &State{Version: StateVersion, IER: d.ier, FCR: d.fcr, LCR: d.lcr, MCR: d.mcr, SCR: d.scr, DLL: d.dll, DLM: d.dlm,
		Overrun: d.overrun, Delta: d.delta, THRPending: d.thrPending, Listening: d.rx.listening}
	if !d.out.ready() && d.ier&ierTHRI != 0 {
		s.THRPending = true // the restored transmitter is empty, which is an event of its own
	}
	if !s.Listening {
		s.Polls = d.rx.polls
	}
	r := &d.rx
	for i := range r.n {
		s.FIFO = append(s.FIFO, r.fifo[(r.head+i)%fifoSize])
	}
	for i := range r.qn {
		s.Queue = append(s.Queue, r.queue[(r.qhead+i)%len(r.queue)])
	}
	if d.scan != nil {
		s.Scanned = d.scan.progress()
	}
	return s
}

// SetState takes a *State, checks it and leaves the device as it is when it
// returns an error. Input that the device had is dropped. It drives the line; the I/O
// APIC, which knows the line's old level, is restored before.
func (d *Device) SetState(v any) error {
	s, ok := v.(*State)
	switch {
	case !ok || s == nil:
		return fmt.Errorf("serial: the saved state is a %T, not a serial port's", v)
	case s.Version != StateVersion:
		return fmt.Errorf("serial: a saved state of version %d; this program reads version %d", s.Version, StateVersion)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("serial: the saved state: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ier, d.fcr, d.lcr, d.mcr, d.scr, d.dll, d.dlm = s.IER, s.FCR, s.LCR, s.MCR, s.SCR, s.DLL, s.DLM
	d.overrun, d.delta, d.thrPending = s.Overrun, s.Delta, s.THRPending
	d.rx.restore(s)
	if d.scan != nil {
		d.scan.restore(s.Scanned)
	}
	d.high = d.pending() != iirNone
	d.line.Set(d.high)
	return nil
}

func (s *State) check() error {
	depth := 1
	if s.FCR&fcrEnable != 0 {
		depth = fifoSize
	}
	switch {
	case s.IER&^ierMask != 0:
		return fmt.Errorf("IER is %#x; only bits %#x can be set", s.IER, ierMask)
	case s.FCR&^fcrKept != 0 || s.FCR != 0 && s.FCR&fcrEnable == 0:
		return fmt.Errorf("FCR is %#x; only bits %#x can be set, and none without bit 0", s.FCR, fcrKept)
	case s.MCR&^mcrMask != 0:
		return fmt.Errorf("MCR is %#x; only bits %#x can be set", s.MCR, mcrMask)
	case s.Delta&^msrDelta != 0:
		return fmt.Errorf("field Delta is %#x; only bits %#x can be set", s.Delta, msrDelta)
	case len(s.FIFO) > depth:
		return fmt.Errorf("field FIFO has %d elements; with FCR %#x at most %d", len(s.FIFO), s.FCR, depth)
	case len(s.Queue) > queueSize:
		return fmt.Errorf("field Queue has %d elements; at most %d", len(s.Queue), queueSize)
	case s.Polls >= pollsToListen || s.Listening && s.Polls != 0:
		return fmt.Errorf("field Polls is %d; at most %d, and 0 while Listening", s.Polls, pollsToListen-1)
	case len(s.Scanned) > maxPattern:
		return fmt.Errorf("field Scanned has %d bytes; at most %d", len(s.Scanned), maxPattern)
	}
	for _, list := range [...]struct {
		name     string
		elements []uint16
	}{{"FIFO", s.FIFO}, {"Queue", s.Queue}} {
		for i, v := range list.elements {
			if v > breakMark {
				return fmt.Errorf("%s[%d] is %#x; a byte is at most 0xff, a break %#x", list.name, i, v, breakMark)
			}
		}
	}
	return nil
}

// restore takes the receiver's part of a state that was checked.
func (r *receiver) restore(s *State) {
	r.reset()
	r.listening, r.polls = s.Listening, s.Polls
	r.n = copy(r.fifo[:], s.FIFO)
	r.qhead, r.qn = 0, 0
	if r.closed {
		return
	}
	for _, v := range s.Queue {
		r.enqueue(v)
	}
	if r.refused && r.qn < queueSize {
		r.refused = false
		r.signal()
	}
}
