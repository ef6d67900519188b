package bus

import "errors"

// Message is a message-signalled interrupt with an eventfd: a write to the eventfd,
// by this process or by a back end in the kernel, raises it. It starts masked. A
// signal while it is masked is kept, and delivered once when the mask is cleared.
//
// All methods are safe for use by several goroutines.
type Message interface {
	// Signal raises the interrupt. It never blocks and allocates nothing.
	Signal()
	// FD is the eventfd, for a back end in the kernel. The Message closes it.
	FD() int
	// Route sets address and data of the message and clears the mask.
	Route(MSI) error
	// Mask holds signals back.
	Mask() error
	// Pending reports whether a signal is held back.
	Pending() bool
	Close() error
}

// IOEvent is an ioeventfd: a guest's write to this address signals an eventfd, without
// a full exit where the host can. It is the register of a device by which a driver
// notifies it of new work.
type IOEvent struct {
	Addr uint64 // guest-physical, or a port
	Port bool
	// Size is the access's width in bytes: 1, 2, 4 or 8; 0 takes any width of a
	// memory-mapped write, and then Match is not used. Narrower or wider accesses go
	// to the bus as any other.
	Size int
	// Match: only writes of Value count.
	Match bool
	Value uint64
	FD    int // the eventfd
}

// ErrNoIOEvent is Fabric.Bind's error where the host has no ioeventfds. The write then
// reaches the bus, and the device's Handler signals the eventfd.
var ErrNoIOEvent = errors.New("bus: this host has no ioeventfds")

// Fabric is what a device that works concurrently with the processors is given to
// reach them.
type Fabric interface {
	MSISink
	// NewMessage makes a masked Message.
	NewMessage() (Message, error)
	// Bind makes an IOEvent signal its eventfd, until Unbind of the same one.
	Bind(IOEvent) error
	Unbind(IOEvent) error
}
