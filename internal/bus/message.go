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

// Doorbell is a guest's write that rings an eventfd instead of leaving the guest
// for long: the register of a device by which a driver tells of new work.
type Doorbell struct {
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

// ErrNoDoorbell is Fabric.Bind's answer where writes can't be taken out of the
// processors' way. The write then reaches the bus, and the device's Handler rings.
var ErrNoDoorbell = errors.New("bus: this host has no doorbells")

// Fabric is what a device that works concurrently with the processors is given to
// reach them.
type Fabric interface {
	MSISink
	// NewMessage makes a masked Message.
	NewMessage() (Message, error)
	// Bind makes a Doorbell ring, until Unbind of the same one.
	Bind(Doorbell) error
	Unbind(Doorbell) error
}
