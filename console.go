package mayfly

import (
	"io"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/device/serial"
)

// console carries the host's input to the serial port of the board at hand. A
// nil console carries nothing.
type console struct {
	in   io.Reader
	quit chan struct{}
	done chan struct{}

	mu   sync.Mutex
	port *serial.Device
}

func startConsole(in io.Reader) *console {
	if in == nil {
		return nil
	}
	c := &console{in: in, quit: make(chan struct{}), done: make(chan struct{})}
	go c.pump()
	return c
}

// connect gives the port that input goes to from now on.
func (c *console) connect(p *serial.Device) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.port = p
	c.mu.Unlock()
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
	for len(p) > 0 {
		c.mu.Lock()
		port := c.port
		c.mu.Unlock()
		if port == nil {
			return false
		}
		n := port.Receive(p)
		if p = p[n:]; len(p) == 0 {
			break
		}
		select {
		case <-port.Space():
		case <-c.quit:
			return false
		case <-time.After(time.Second): // the board was replaced meanwhile
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
	}
}
