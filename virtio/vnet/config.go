package vnet

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Kind is what the card's cable ends in.
type Kind string

// Kinds.
const (
	// AutoKind, the default, is what the other fields say: tap with Tap or Bridge, fd with FDs,
	// stream with Socket, else user.
	AutoKind Kind = "auto"
	// Tap: an interface of the host.
	Tap Kind = "tap"
	// User: a network of the machine's own in a process of its own, mayfly-usernet.
	// It needs no privilege.
	User Kind = "user"
	// Passt: passt's Unix socket.
	Passt Kind = "passt"
	// Stream: any Unix stream socket on which each frame follows its length, 32 bits,
	// big-endian: what QEMU calls "-netdev stream".
	Stream Kind = "stream"
	// FD: open descriptors of a tap's queues, or one of a Stream's socket.
	FD Kind = "fd"
)

// Kinds are the values of a Kind, beside "", which is AutoKind.
var Kinds = []Kind{AutoKind, User, Tap, Passt, Stream, FD}

// Check is an error that lists the values, where k is none of them.
func (k Kind) Check() error { return enum.Check(k, Kinds) }

// VHost says who moves a tap's frames.
type VHost string

// Ways.
const (
	// VHostAuto, the default: the host's kernel (vhost-net) where it is there and
	// can do what is asked for; this process elsewhere.
	VHostAuto VHost = "auto"
	// VHostOn: the kernel, or an error.
	VHostOn VHost = "on"
	// VHostOff: this process.
	VHostOff VHost = "off"
)

// VHosts are the values of a VHost, beside "", which is VHostAuto.
var VHosts = []VHost{VHostAuto, VHostOn, VHostOff}

// Check is an error that lists the values, where v is none of them.
func (v VHost) Check() error { return enum.Check(v, VHosts) }

// Bounds of a Config.
const (
	MaxQueues        = 64 // pairs
	DefaultQueueSize = 256
	MaxFrameMTU      = 65535 - 14
)

// Config is one network card. The zero value of each field is its default.
type Config struct {
	// Name makes the card's address where MAC is empty: another name, another
	// address. Errors call the card by it.
	Name string
	Kind Kind
	// Tap is the name of the host's interface. One that does not exist is made.
	// Empty: "mayfly" and a number.
	Tap string
	// Bridge is put over the tap.
	Bridge string
	// FDs are open descriptors: a tap's queues, or one socket. The card closes them,
	// also where New fails.
	FDs []int
	// Socket is the path of the Unix socket of Passt or Stream, or @NAME, an abstract
	// socket; with User, that of a mayfly-usernet that runs already.
	Socket string
	// MAC is the guest's Ethernet address; empty: made of Name, and of the tap's and
	// the host's where there is one.
	MAC string
	// MTU in bytes; 0 leaves a tap's own, and is 1500 elsewhere.
	MTU int
	// Queues is the number of pairs of queues, for a tap; 0: 1.
	Queues int
	// QueueSize is the number of descriptors in each, a power of two; 0: 256.
	QueueSize int
	// VHost says who moves a tap's frames.
	VHost VHost
	// Forward are ports of the host that lead into the machine, for User:
	// [udp:][host address:]host port:guest port.
	Forward []string
	// Isolated keeps the machine from the world outside its host, for User.
	Isolated bool
	// HostAccess lets the machine reach the host, for User: its 127.0.0.1 as
	// host.mayfly.internal, and its other addresses, which are refused otherwise.
	HostAccess bool
	// Allow and Deny are IPv4 networks (CIDR) or addresses, for User. The machine
	// reaches nothing in Deny and, where Allow has entries, nothing outside Allow.
	// Link-local addresses need an entry of Allow that is link-local itself; only
	// HostAccess is about host.mayfly.internal.
	Allow, Deny []string
	// RX and TX limit what the guest receives and sends.
	RX, TX ratelimit.Config

	// Report is told of what happens to the cable while the machine runs. nil: nobody
	// is. It must not block.
	Report func(error) `json:"-"`

	packed bool // the driver may use packed virtqueues; see ForPacked
}

func repeats(fds []int) bool {
	for i, fd := range fds {
		if slices.Contains(fds[:i], fd) {
			return true
		}
	}
	return false
}

// kind is what AutoKind means here.
func (c *Config) kind() Kind {
	switch {
	case c.Kind != "" && c.Kind != AutoKind:
		return c.Kind
	case len(c.FDs) > 0:
		return FD
	case c.Tap != "" || c.Bridge != "":
		return Tap
	case c.Socket != "":
		return Stream
	}
	return User
}

// Check tells what is wrong with the numbers and names of a Config, without a look
// at the host. New does it too.
func (c Config) Check() error {
	if err := c.check(); err != nil {
		return virtio.Named(c.DeviceName(), err)
	}
	return nil
}

func (c *Config) check() error {
	switch {
	case c.Kind.Check() != nil:
		return fmt.Errorf("kind: %w", c.Kind.Check())
	case c.VHost.Check() != nil:
		return fmt.Errorf("vhost: %w", c.VHost.Check())
	case c.Queues < 0 || c.Queues > MaxQueues:
		return fmt.Errorf("queues: %d; there are 1 to %d", c.Queues, MaxQueues)
	case c.QueueSize != 0 && (c.QueueSize < 16 || c.QueueSize > virtio.MaxQueueSize || c.QueueSize&(c.QueueSize-1) != 0):
		return fmt.Errorf("queue-size: %d; it is a power of two from 16 to %d", c.QueueSize, virtio.MaxQueueSize)
	case c.MTU != 0 && (c.MTU < tap.MinMTU || c.MTU > MaxFrameMTU):
		return fmt.Errorf("mtu: %d; it has %d to %d bytes", c.MTU, tap.MinMTU, MaxFrameMTU)
	}
	if c.MAC != "" {
		if _, err := ParseMAC(c.MAC); err != nil {
			return fmt.Errorf("mac: %w", err)
		}
	}
	if err := c.RX.Check(); err != nil {
		return fmt.Errorf("rx limit: %w", err)
	}
	if err := c.TX.Check(); err != nil {
		return fmt.Errorf("tx limit: %w", err)
	}
	if err := c.checkUser(); err != nil {
		return err
	}
	return c.checkKind()
}

// checkUser refuses options of a user network that cannot be.
func (c *Config) checkUser() error {
	forwards, err := c.forwards()
	if err != nil {
		return err
	}
	for i, f := range forwards {
		for _, g := range forwards[:i] {
			if f.Overlaps(g) {
				return fmt.Errorf("forward: %s and %s listen at the same port of the host; give one of them another", g, f)
			}
		}
	}
	for _, list := range []struct {
		field    string
		networks []string
	}{{"allow", c.Allow}, {"deny", c.Deny}} {
		for _, n := range list.networks {
			if _, err := ParseNetwork(n); err != nil {
				return fmt.Errorf("%s: %w", list.field, err)
			}
		}
	}
	if c.Isolated && (c.HostAccess || len(c.Allow) > 0 || len(c.Deny) > 0) {
		return errors.New("isolated and one of host, allow and deny are mutually exclusive: an isolated network reaches nothing")
	}
	return nil
}

func (c *Config) forwards() (list []Forward, err error) {
	for _, s := range c.Forward {
		f, err := ParseForward(s)
		if err != nil {
			return nil, fmt.Errorf("forward: %w", err)
		}
		list = append(list, f)
	}
	return list, nil
}

// conflict is an error where two cards forward the same port of the host.
func conflict(a, b *Config) error {
	of, err := a.forwards()
	if err != nil {
		return err
	}
	other, err := b.forwards()
	if err != nil {
		return err
	}
	for _, f := range of {
		for _, g := range other {
			if f.Overlaps(g) {
				return fmt.Errorf("forward: %s of one card and %s of another listen at the same port of the host; give one of them another", f, g)
			}
		}
	}
	return nil
}

// userOptions reports whether anything is set that mayfly-usernet is started with.
func (c *Config) userOptions() bool {
	return len(c.Forward) > 0 || c.Isolated || c.HostAccess || len(c.Allow) > 0 || len(c.Deny) > 0
}

// checkKind refuses what the kind of cable can't do.
func (c *Config) checkKind() error {
	k := c.kind()
	limited := limits(c.RX) || limits(c.TX)
	switch {
	case (c.Tap != "" || c.Bridge != "") && k != Tap:
		return fmt.Errorf("tap and bridge are for kind=tap, not for kind=%s", k)
	case len(c.FDs) > 0 && k != FD:
		return fmt.Errorf("descriptors are for kind=fd, not for kind=%s", k)
	case repeats(c.FDs):
		return fmt.Errorf("descriptors: %d; each is one queue of its own", c.FDs)
	case k == FD && len(c.FDs) == 0:
		return errors.New("kind=fd needs a descriptor: fd=3")
	case k == FD && c.Queues > 1 && c.Queues != len(c.FDs):
		return fmt.Errorf("queues: %d, but %d descriptors were given", c.Queues, len(c.FDs))
	case c.Socket == "" && (k == Passt || k == Stream):
		return fmt.Errorf("kind=%s needs the path of its socket: socket=PATH", k)
	case c.Socket != "" && k != Passt && k != Stream && k != User:
		return fmt.Errorf("a socket is for kind=passt, stream and user, not for kind=%s", k)
	case c.Socket != "" && unixsocket.CheckPeer(c.Socket) != nil:
		return fmt.Errorf("socket: %w", unixsocket.CheckPeer(c.Socket))
	case c.Socket != "" && k == User && c.userOptions():
		return errors.New("forward, isolated, host, allow and deny are options of mayfly-usernet; give them to the one that runs at the socket")
	case c.userOptions() && k != User:
		return fmt.Errorf("forward, isolated, host, allow and deny are for kind=user, not for kind=%s", k)
	case k == User && c.MTU != 0 && (c.MTU < 576 || c.MTU > 65520):
		return fmt.Errorf("mtu: %d; the user network takes 576 to 65520", c.MTU)
	case c.Queues > 1 && k != Tap && k != FD:
		return fmt.Errorf("queues: %d; only a tap has several, kind=%s has one", c.Queues, k)
	case c.VHost == VHostOn && k != Tap && k != FD:
		return fmt.Errorf("vhost: the kernel moves frames of taps only, not of kind=%s", k)
	case c.VHost == VHostOn && c.packed:
		return errors.New("vhost: the kernel does not know packed virtqueues; leave out one of the two")
	case c.VHost == VHostOn && limited:
		return errors.New("vhost: the kernel knows no limits; leave out one of the limits and vhost=on")
	}
	return nil
}

func (c *Config) wantVHost() bool {
	limited := limits(c.RX) || limits(c.TX)
	return c.VHost != VHostOff && !c.packed && !limited
}
