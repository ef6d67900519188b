package mayfly

import (
	"errors"
	"io"
	"time"

	"github.com/mayfly-vm/mayfly/internal/device/serial"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
)

// console carries the host's input to the serial port. A nil console carries
// nothing.
type console struct {
	in   io.Reader
	port *serial.Device
	quit chan struct{}
	done chan struct{}
}

// closeOutput writes out what the guest wrote last, on all its consoles, and tells
// how much of their output was lost, and why. After a kill its readers have little
// time.
func (vm *VM) closeOutput(killed bool) (lost uint64, cause error) {
	if killed {
		cause = vm.port.serial.CloseWithin(outputLimit)
	} else {
		cause = vm.port.serial.Close()
	}
	lost = vm.port.serial.Lost()
	for _, d := range vm.devices {
		c, ok := d.Device.(*vconsole.Device)
		if !ok {
			continue
		}
		// What concerns output of their errors is in LostCause.
		if killed {
			_ = c.CloseWithin(outputLimit)
		} else {
			_ = c.Close()
		}
		lost += c.Stats().Failed
		if cause == nil {
			cause = c.LostCause()
		}
	}
	if lost > 0 && cause == nil {
		cause = errOutputStalled
	}
	return lost, cause
}

// undelivered is how much of the virtio consoles' output has not arrived.
func (vm *VM) undelivered() (n uint64) {
	for _, d := range vm.devices {
		if c, ok := d.Device.(*vconsole.Device); ok {
			n += c.Undelivered()
		}
	}
	return n
}

var (
	errOutputStalled = errors.New("nobody read it for seconds")
	errKilledBefore  = errors.New("the machine was killed before it was written")
)

func startConsole(in io.Reader, port *serial.Device) *console {
	if in == nil {
		return nil
	}
	c := &console{in: in, port: port, quit: make(chan struct{}), done: make(chan struct{})}
	go c.pump()
	return c
}

func (c *console) pump() {
	defer close(c.done)
	buf := make([]byte, 256)
	for {
		n, err := c.in.Read(buf)
		if !c.deliver(buf[:n]) || err != nil {
			return
		}
	}
}

// deliver waits until the guest has taken p; false: the console was stopped.
func (c *console) deliver(p []byte) bool {
	for {
		if p = p[c.port.Receive(p):]; len(p) == 0 {
			break
		}
		select {
		case <-c.port.Space():
		case <-c.quit:
			return false
		}
	}
	select {
	case <-c.quit:
		return false
	default:
		return true
	}
}

// stop ends the pump. A Read under way is interrupted where In can be; else its
// goroutine ends with that Read.
func (c *console) stop() {
	if c == nil {
		return
	}
	close(c.quit)
	d, ok := c.in.(interface{ SetReadDeadline(time.Time) error })
	if ok && d.SetReadDeadline(time.Unix(1, 0)) == nil {
		<-c.done
		_ = d.SetReadDeadline(time.Time{}) // In is its owner's again
	}
}
