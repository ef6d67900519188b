package machine

import (
	"errors"
	"io"
	"time"

	"github.com/mayfly-vm/mayfly/internal/device/serial"
)

// console carries the host's input to the serial port. A nil console carries
// nothing.
type console struct {
	in   io.Reader
	port *serial.Device
	quit chan struct{}
	done chan struct{}
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
