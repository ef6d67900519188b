package serial

// pending returns the enabled interrupt condition of the highest priority, as
// IIR bits 0-3.
func (d *Device) pending() byte {
	switch {
	case d.ier&ierRLSI != 0 && (d.overrun || d.rx.breakFirst()):
		return iirRLS
	case d.ier&ierRDI != 0 && d.rx.n > 0:
		// Below the trigger level the hardware waits for four characters' time
		// before it reports; here that time is always over.
		if d.fcr&fcrEnable != 0 && d.rx.n < trigger[d.fcr>>fcrTrigger] {
			return iirTimeout
		}
		return iirRDA
	case d.ier&ierTHRI != 0 && d.thrPending:
		return iirTHRE
	case d.ier&ierMSI != 0 && d.delta != 0:
		return iirMSI
	}
	return iirNone
}

// update drives the line to what the conditions ask for. The mutex is held, so
// that ups and downs of several goroutines stay in order.
func (d *Device) update() {
	if high := d.pending() != iirNone; high != d.high {
		d.high = high
		d.line.Set(high)
	}
}

// identify is a read of IIR, which takes back an empty transmitter's interrupt
// when that is what it reports.
func (d *Device) identify() byte {
	id := d.pending()
	if id == iirTHRE {
		d.thrPending = false
		d.update()
	}
	if d.fcr&fcrEnable != 0 {
		id |= iirFIFO
	}
	return id
}

// lineStatus is a read of LSR, which takes back the error bits.
func (d *Device) lineStatus() byte {
	var v byte
	if d.out.ready() {
		v = lsrTHRE | lsrTEMT
		d.poll()
	}
	if d.rx.n > 0 {
		v |= lsrDR
	}
	if d.overrun {
		v |= lsrOE
		d.overrun = false
	}
	if d.fcr&fcrEnable != 0 && d.rx.breakAny() {
		v |= lsrFIFO
	}
	if d.rx.breakFirst() {
		v |= lsrBI
		d.rx.fifo[d.rx.head] &^= breakMark
	}
	d.update()
	return v
}
