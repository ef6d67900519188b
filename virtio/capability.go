package virtio

import (
	"time"

	"github.com/mayfly-vm/mayfly/ratelimit"
)

// What devices can do beyond Device. Who owns a device finds these interfaces by type
// assertion; their methods may be called from any goroutine, whether a driver uses
// the device or not, until Close.

// StatsDevice counts its work.
type StatsDevice interface {
	// DeviceStats is a snapshot of counters since the device was made: the Stats of the
	// device's package, by value. As JSON its fields are in snake_case.
	DeviceStats() any
}

// ReadyDevice is whole only some time after it was made: a process that it has started
// comes up meanwhile.
type ReadyDevice interface {
	// Ready waits until the device is whole, and returns why it is not. The guest
	// starts after that.
	Ready() error
}

// OutputDevice writes what the guest writes to files of the host: a console.
type OutputDevice interface {
	// CloseWithin is Close, with a limit on how long it waits for those who read.
	CloseWithin(limit time.Duration) error
	// Lost is how many bytes of output that had to arrive have not, and why: the first
	// error, nil if there was none. It is final after CloseWithin.
	Lost() (bytes uint64, cause error)
	// Undelivered is Lost and what is still to be written, in bytes.
	Undelivered() uint64
}

// FileDevice makes files that its Close removes: sockets, links to terminals.
type FileDevice interface {
	// Directories are descriptors of the directories in which they are. They stay the
	// device's.
	Directories() []int
}

// TerminalDevice has terminals.
type TerminalDevice interface {
	// Resize announces the size of a port's window to the guest. An error says that
	// there is no such port.
	Resize(port int, cols, rows uint16) error
}

// LimitedDevice is held to limits that can change: a disk's, an entropy source's.
type LimitedDevice interface {
	// SetLimits replaces the limits. Requests that waited for the old ones follow the
	// new ones at once. An error changes nothing.
	SetLimits(ratelimit.Config) error
}

// LinkDevice has a link that can be interrupted: a network card.
type LinkDevice interface {
	// SetLink takes the link down, or up again. The guest is notified, and no frames
	// come or leave while it is down.
	SetLink(up bool)
}

// MediumDevice has a medium that can change: a disk.
type MediumDevice interface {
	// Refresh reads the medium's size again, after somebody has changed it, and
	// notifies the guest.
	Refresh() error
	// Change replaces the medium by that of another configuration of the device's own
	// package, which may be wrapped (Packed), and notifies the guest. An error changes
	// nothing.
	Change(DeviceConfig) error
}

// Peer is a Unix socket that a device connects to while its machine runs.
type Peer struct {
	// Path is a file's, or @NAME, an abstract socket.
	Path string
	// Ports: there is a socket for each port N, at Path_N.
	Ports bool
}

// Dial connects to one of a device's peers, at once or not at all, and returns the
// socket: non-blocking, close-on-exec, and the caller's. port is 0 for a Peer without
// Ports. It may be called from any goroutine, and returns within a second.
type Dial func(peer int, port uint32) (fd int, err error)

// PeerDevice connects to Unix sockets while its machine runs.
type PeerDevice interface {
	// Peers are the sockets.
	Peers() []Peer
	// DialWith has the device make all connections from now on by dial, where its process
	// may not. It is called before the machine runs.
	DialWith(dial Dial)
}
