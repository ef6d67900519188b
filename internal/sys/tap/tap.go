// Package tap is Linux's tap device: a network card whose cable ends in a file
// descriptor. A frame is read and written with a virtio-net header in front of
// it (12 bytes, virtio 1.3 section 5.1.6), so that checksums and segmentation stay
// undone until hardware does them, or for ever between two machines of a host.
package tap

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// HeaderSize is the length of the header in front of each frame, in bytes.
const HeaderSize = 12

// MaxName is the longest name of an interface, in bytes.
const MaxName = unix.IFNAMSIZ - 1

// MaxQueues is the most queues that Linux gives a tap.
const MaxQueues = 256

// device is where taps are made.
const device = "/dev/net/tun"

// Config says which tap to open.
type Config struct {
	// Name is the interface's. One that does not exist is made, and goes with the
	// last descriptor. A %d in it becomes the first free number. Empty: "mayfly%d".
	Name string
	// Bridge is put over the tap, if not empty; it must exist.
	Bridge string
	// Queues is the number of queues; 0 is 1.
	Queues int
	// MTU in bytes; 0 leaves what it is (1500 for a new one).
	MTU int
}

// Tap is an open tap.
type Tap struct {
	name    string
	queues  []*Queue
	active  []bool
	offload uint
	mtu     int // 0: nobody has asked
}

// Queue is one queue of a Tap: what a descriptor reads and writes.
type Queue struct{ fd int }

// FD is the descriptor; it does not block and stays the Queue's own.
func (q *Queue) FD() int { return q.fd }

// Open opens or makes the tap, sets it up and puts it under its bridge.
func Open(c Config) (*Tap, error) {
	if c.Name == "" {
		c.Name = "mayfly%d"
	}
	if c.Queues == 0 {
		c.Queues = 1
	}
	if err := checkName("tap", c.Name); err != nil {
		return nil, err
	}
	if c.Queues < 1 || c.Queues > MaxQueues {
		return nil, fmt.Errorf("tap %s: %d queues; a tap has 1 to %d", c.Name, c.Queues, MaxQueues)
	}
	if c.Bridge != "" {
		if err := checkBridge(c.Bridge); err != nil {
			return nil, err
		}
	}
	t := &Tap{name: c.Name}
	for i := range c.Queues {
		if err := t.add(c.Queues > 1, i); err != nil {
			t.Close()
			return nil, err
		}
	}
	err := t.probe()
	if err == nil {
		err = t.setUp(c)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func checkName(what, name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("%s %s: the name has %d bytes; an interface's has %d at most", what, name, len(name), MaxName)
	case name == "." || name == ".." || strings.ContainsAny(name, "/: \t\n\x00"):
		return fmt.Errorf("%s %q: that is no name of an interface", what, name)
	}
	return nil
}

// add attaches one more queue.
func (t *Tap) add(multi bool, i int) error {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return openError(err)
	}
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("tap %s: %w", t.name, err)
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	ifr.SetUint16(flags)
	err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	if err == unix.EINVAL && !multi && i == 0 {
		// One that was made for several queues takes none that is not.
		ifr.SetUint16(flags | unix.IFF_MULTI_QUEUE)
		if unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr) == nil {
			err = nil
		}
	}
	if err != nil {
		unix.Close(fd)
		return t.attachError(err, multi, i)
	}
	t.name = ifr.Name()
	return t.take(fd)
}

// take makes a Queue of a descriptor.
func (t *Tap) take(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, HeaderSize); err != nil {
		unix.Close(fd)
		return fmt.Errorf("tap %s: headers of %d bytes: %w", t.name, HeaderSize, err)
	}
	t.queues = append(t.queues, &Queue{fd})
	t.active = append(t.active, true)
	return nil
}

// FromFDs takes over descriptors of a tap that somebody else has opened, one for
// each queue, and closes all of them where that fails. The interface is left as it is.
func FromFDs(fds []int) (*Tap, error) {
	t := &Tap{}
	for i, fd := range fds {
		if err := t.adopt(fd); err != nil {
			t.Close()
			for _, rest := range fds[i+1:] {
				_ = unix.Close(rest)
			}
			return nil, err
		}
	}
	if len(fds) == 0 {
		return nil, errors.New("no descriptor of a tap was given")
	}
	if err := t.probe(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// adopt makes a Queue of a descriptor that somebody else has opened, and closes it
// where that fails.
func (t *Tap) adopt(fd int) error {
	name, err := t.checkFD(fd)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	t.name = name
	unix.CloseOnExec(fd)
	return t.take(fd)
}

// checkFD returns the name of the descriptor's tap.
func (t *Tap) checkFD(fd int) (string, error) {
	ifr, err := unix.NewIfreq("")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("descriptor %d is no tap: %w; open %s and attach it (TUNSETIFF) before it is handed over", fd, err, device)
	case ifr.Uint16()&unix.IFF_TAP == 0:
		return "", fmt.Errorf("descriptor %d is a tun device, which has no Ethernet frames; make it with IFF_TAP", fd)
	case ifr.Uint16()&unix.IFF_VNET_HDR == 0 || ifr.Uint16()&unix.IFF_NO_PI == 0:
		return "", fmt.Errorf("descriptor %d (tap %s) was made without IFF_VNET_HDR or without IFF_NO_PI; both are needed", fd, ifr.Name())
	case t.name != "" && t.name != ifr.Name():
		return "", fmt.Errorf("descriptors of two taps, %s and %s; all queues of a card are of one", t.name, ifr.Name())
	}
	return ifr.Name(), nil
}

// Name is the interface's.
func (t *Tap) Name() string { return t.name }

// Queues are the tap's queues.
func (t *Tap) Queues() []*Queue { return t.queues }

// Close gives the descriptors back. A tap that is not persistent goes with them.
func (t *Tap) Close() error {
	var first error
	queues := t.queues
	t.queues = nil // their numbers are others' soon
	for _, q := range queues {
		if err := unix.Close(q.fd); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Gone reports whether somebody has deleted the interface.
func (t *Tap) Gone() bool {
	ifr, err := unix.NewIfreq("")
	return err == nil && errors.Is(unix.IoctlIfreq(t.queues[0].fd, unix.TUNGETIFF, ifr), unix.EBADFD)
}
