package bus

import "errors"

// Message is a message-signalled interrupt behind an eventfd: who writes to the
// eventfd raises it, be it this process or a back end in the kernel. It starts
// masked. What is signalled while it is masked is kept, and delivered once when
// the mask goes.
//
// Signal is safe for use by several goroutines, and so are the others.
type Message interface {
	// Signal raises the interrupt. It never blocks and allocates nothing.
	Signal()
	// FD is the eventfd, for a back end in the kernel. It stays the Message's own.
	FD() int
	// Route says where the message goes and takes the mask away.
	Route(MSI) error
	// Mask holds signals back.
	Mask() error
	// Pending tells whether a signal is held back.
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

// Fabric is what a device that works beside the processors is handed to reach
// them.
type Fabric interface {
	MSISink
	// NewMessage makes a masked Message.
	NewMessage() (Message, error)
	// Bind makes a Doorbell ring, until Unbind of the same one.
	Bind(Doorbell) error
	Unbind(Doorbell) error
}
