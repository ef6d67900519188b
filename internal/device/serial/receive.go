package serial

// queueSize is how many bytes of input wait for the guest. More stays with the
// host, whose terminal or pipe then makes its writer wait.
const queueSize = 4096

// pollsToListen is after how many reads of LSR in a row, with no other access
// between them, a guest counts as one that polls for input. Linux reads it once
// or twice while it sets up a port, and drops what it then finds.
const pollsToListen = 8

// breakMark in a FIFO entry marks a break, as opposed to a zero byte.
const breakMark = 0x100

// receiver holds the input: a queue that the host fills, and the FIFO that the guest
// reads, which is filled from the queue. They are separate because a guest discards
// its FIFO's contents when it opens the port, and `echo poweroff | mayfly run` should
// work all the same.
type receiver struct {
	fifo    [fifoSize]uint16
	head, n int

	queue     []uint16 // ring; made when the first input comes
	qhead, qn int

	listening bool  // the guest polls
	polls     uint8 // reads of LSR in a row
	refused   bool  // Receive had to leave something; room is then signalled
	closed    bool
	room      chan struct{}
}

func (r *receiver) reset() {
	r.clear()
	r.listening, r.polls = false, 0
}

func (r *receiver) clear() { r.head, r.n = 0, 0 }

// push puts v into the FIFO if that holds fewer than depth.
func (r *receiver) push(v uint16, depth int) bool {
	if r.n >= depth {
		return false
	}
	r.fifo[(r.head+r.n)%fifoSize] = v
	r.n++
	return true
}

// pop takes the oldest byte out of the FIFO; an empty one gives zero.
func (r *receiver) pop() byte {
	if r.n == 0 {
		return 0
	}
	v := r.fifo[r.head]
	r.head = (r.head + 1) % fifoSize
	r.n--
	return byte(v)
}

func (r *receiver) breakFirst() bool { return r.n > 0 && r.fifo[r.head]&breakMark != 0 }

func (r *receiver) breakAny() bool {
	for i := range r.n {
		if r.fifo[(r.head+i)%fifoSize]&breakMark != 0 {
			return true
		}
	}
	return false
}

// enqueue puts v into the queue if there is room.
func (r *receiver) enqueue(v uint16) bool {
	if r.queue == nil {
		r.queue = make([]uint16, queueSize)
	}
	if r.qn == len(r.queue) {
		r.refused = true
		return false
	}
	r.queue[(r.qhead+r.qn)%len(r.queue)] = v
	r.qn++
	return true
}

func (r *receiver) close() {
	r.closed = true
	r.qn = 0
	r.signal()
}

func (r *receiver) signal() {
	select {
	case r.room <- struct{}{}:
	default: // there is a signal already
	}
}

// Receive queues input for the guest, and returns how many bytes of p were taken:
// fewer than len(p) when the queue is full, and Space then reports when to go on. A
// closed device takes and discards everything.
func (d *Device) Receive(p []byte) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rx.closed {
		return len(p)
	}
	n := 0
	for n < len(p) && d.rx.enqueue(uint16(p[n])) {
		n++
	}
	d.refill()
	d.update()
	return n
}

// Break queues a break condition for the guest, after the input already received. It
// returns false when the queue is full. Linux takes a break and a letter on its
// console for a SysRq request.
func (d *Device) Break() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rx.closed {
		return true
	}
	ok := d.rx.enqueue(breakMark)
	d.refill()
	d.update()
	return ok
}

// Space returns a channel that has an element when there may be room for input
// after Receive or Break had to refuse some.
func (d *Device) Space() <-chan struct{} { return d.rx.room }

// depth is how many bytes the FIFO holds: a UART with FIFOs off has one register.
func (d *Device) depth() int {
	if d.fcr&fcrEnable != 0 {
		return fifoSize
	}
	return 1
}

// poll counts a read of LSR, and shows a guest that polls its input.
func (d *Device) poll() {
	if d.rx.listening {
		return
	}
	if d.rx.polls++; d.rx.polls == pollsToListen {
		d.rx.listening = true
		d.refill()
	}
}

// refill moves input from the queue into the FIFO, for a guest that listens.
func (d *Device) refill() {
	if d.mcr&mcrLoop != 0 || !d.rx.listening && d.ier&ierRDI == 0 {
		return
	}
	r := &d.rx
	moved := false
	for r.qn > 0 && r.push(r.queue[r.qhead], d.depth()) {
		r.qhead = (r.qhead + 1) % len(r.queue)
		r.qn--
		moved = true
	}
	// One wake-up for half a queue, not one for each byte that the guest reads.
	if moved && r.refused && r.qn <= len(r.queue)/2 {
		r.refused = false
		r.signal()
	}
}
