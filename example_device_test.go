package mayfly_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Upper is a device of a program's own: the bytes that a request of the guest gives
// come back in upper case. Its driver in the guest finds it by its type.
type Upper struct {
	requests chan string // what the guest has asked; nobody need read it
	loop     *virtio.Loop
}

// TypeUpper is a number that the virtio specification gives to no device.
const TypeUpper virtio.Type = 0x4D46

// MaxRequest bounds what a request costs the host, in bytes.
const MaxRequest = 4096

func (u *Upper) Type() virtio.Type             { return TypeUpper }
func (u *Upper) Features() virtio.Feature      { return 0 }
func (u *Upper) QueueSizes() []uint16          { return []uint16{64} }
func (u *Upper) ReadConfig(_ uint64, p []byte) { clear(p) } // its configuration space is empty
func (u *Upper) WriteConfig(uint64, []byte)    {}
func (u *Upper) State() any                    { return nil } // it keeps nothing from request to request
func (u *Upper) SetState(any) error            { return nil }
func (u *Upper) Close() error                  { return nil }

// Start serves the queue, if the driver has set it up.
func (u *Upper) Start(s *virtio.Session) error {
	q := s.Queue(0)
	if q == nil {
		return nil
	}
	var c virtio.Chain
	u.loop = s.Serve(q, func() (did bool) {
		for q.Pop(&c) {
			q.Push(&c, u.answer(&c))
			did = true
		}
		q.Flush()
		return did
	})
	return nil
}

// Stop returns when nothing of the device touches guest memory any more.
func (u *Upper) Stop() {
	if u.loop != nil {
		u.loop.Stop()
		u.loop = nil
	}
}

// answer writes the answer and returns its length, which is never more than there is
// room for.
func (u *Upper) answer(c *virtio.Chain) int {
	request := make([]byte, min(c.Out.Len(), MaxRequest))
	request = request[:c.Out.CopyOut(request, 0)]
	select {
	case u.requests <- string(request):
	default:
	}
	return c.In.CopyIn(bytes.ToUpper(request), 0)
}

// A device of the program's own is given as a virtio.Opened, among any others.
func Example_device() {
	kernel := exampleDriver("hello, device") // a guest with a driver
	defer os.Remove(kernel)
	device := &Upper{requests: make(chan string, 1)}
	vm, err := mayfly.New(mayfly.Config{
		Kernel:  kernel,
		Devices: []mayfly.DeviceConfig{virtio.Opened{Name: "upper", Device: device}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the guest asked:", <-device.requests)
}
