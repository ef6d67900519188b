package soft

// hasCode reports whether an exception pushes an error code.
func hasCode(vector uint8) bool {
	switch vector {
	case vectorDF, vectorTS, vectorNP, vectorSS, vectorGP, vectorPF, vectorAC:
		return true
	}
	return false
}

// contributory reports whether an exception within the delivery of another makes a double fault.
func contributory(vector uint8) bool {
	return vector == vectorDE || vector >= vectorTS && vector <= vectorGP
}

// except delivers an exception, or what comes of its delivery: a double fault, or a shutdown, for
// which it returns false. Source: Intel SDM volume 3, chapter 6.15, interrupt 8.
func (c *CPU) except(f Fault) bool {
	// So many exceptions can follow each other where each is delivered: benign ones without an end.
	const most = 8
	for range most {
		if f.Vector == vectorPF {
			c.cr2 = f.Addr
		}
		if f.Vector != vectorDB {
			c.flags.other |= flagRF
		}
		if c.interrupt(f.Vector, f.Code, hasCode(f.Vector) && c.cr0&cr0PE != 0, external) {
			if f.Vector == vectorDB {
				c.dr[7] &^= dr7GD
			}
			return true
		}
		second := c.fault
		if second.Vector == vectorPF {
			c.cr2 = second.Addr // also where a double fault comes of it
		}
		switch {
		case f.Vector == vectorDF || c.unsupported != "":
			return false
		case f.Vector == vectorPF && (second.Vector == vectorPF || contributory(second.Vector)), contributory(f.Vector) && contributory(second.Vector):
			f = Fault{Vector: vectorDF}
		default:
			f = second
		}
	}
	return false
}

// origin is what an interrupt comes from.
type origin uint8

const (
	external origin = iota // an exception, or a device: gates' privileges do not count
	software               // INT n
)
