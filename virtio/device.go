package virtio

// Type is a device's type (section 5).
type Type uint32

// Types of devices.
const (
	TypeNet     Type = 1
	TypeBlock   Type = 2
	TypeConsole Type = 3
	TypeEntropy Type = 4
	TypeVsock   Type = 19
)

// String is the type's short name, as in "--disk".
func (t Type) String() string {
	switch t {
	case TypeNet:
		return "net"
	case TypeBlock:
		return "blk"
	case TypeConsole:
		return "console"
	case TypeEntropy:
		return "rng"
	case TypeVsock:
		return "vsock"
	}
	return "virtio"
}

// Device is what stands behind a transport. An Instance calls Start, Stop, State and
// SetState one at a time; Close is the owner's, once, after the last Stop.
//
// A Device outlives sessions: after a Stop it can be started again, by the same
// driver, by another, or with the state of a snapshot.
type Device interface {
	Type() Type
	// Features are the device's own bits: those of the ring and of the transport
	// are the Instance's to offer.
	Features() Feature
	// QueueSizes is the greatest size of each queue, each a power of two up to
	// MaxQueueSize.
	QueueSizes() []uint16
	// ReadConfig fills p from the configuration space at off; bytes beyond its end
	// are zero. It may run at any time, in several goroutines, those included that
	// call ConfigChanged or Fail: it takes no lock that is held meanwhile, or while
	// a Stop waits.
	ReadConfig(off uint64, p []byte)
	// WriteConfig is a driver's write to it; what can't be written is ignored. It may
	// come at any time, in one goroutine at a time, and takes no lock that is held while
	// a Stop waits.
	WriteConfig(off uint64, p []byte)
	// Start begins the work for a driver that is ready. An error is a fault of the
	// host and ends in a device that needs a reset.
	Start(*Session) error
	// Stop ends the work: requests that were begun are finished, answers in their
	// rings included, and requests that would wait for somebody (data from a peer,
	// a rate limit) are left in or put back into the ring. When it returns,
	// nothing of the device touches guest memory, and Start with the same Session
	// would go on where it stopped. Stop without Start does nothing.
	Stop()
	// State is the device's own state between Stop and Start, as a pointer to a
	// plain struct with a Version field; nil when there is none. SetState takes
	// what State gave, checks it as any input, and is called before Start.
	State() any
	SetState(any) error
	Close() error
}

// ReadSpace answers ReadConfig for a Device that keeps its configuration space as
// bytes.
func ReadSpace(space []byte, off uint64, p []byte) {
	clear(p)
	if off < uint64(len(space)) {
		copy(p, space[off:])
	}
}
