package machine

// closeOutput writes out what the guest wrote last, by its serial port and by other
// devices that have a host's side for output, and returns how much was lost, and why.
// After a kill its readers have little time.
func closeOutput(p *serialPort, devices []Device, killed bool) (lost uint64, cause error) {
	if killed {
		cause = p.device.CloseWithin(outputLimit)
	} else {
		cause = p.device.Close()
	}
	lost = p.device.Lost()
	for _, d := range devices {
		o, ok := d.Device.(outputDevice)
		if !ok {
			continue
		}
		// What concerns output of their errors is in Lost's cause.
		if killed {
			_ = o.CloseWithin(outputLimit)
		} else {
			_ = o.Close()
		}
		n, why := o.Lost()
		lost += n
		if cause == nil {
			cause = why
		}
	}
	if lost > 0 && cause == nil {
		cause = errOutputStalled
	}
	return lost, cause
}

// undelivered is how much of the devices' output, the serial port's excepted, has not
// arrived.
func undelivered(devices []Device) (n uint64) {
	for _, d := range devices {
		if o, ok := d.Device.(outputDevice); ok {
			n += o.Undelivered()
		}
	}
	return n
}
