package blk

import (
	"errors"
	"fmt"
	"os"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/enum"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Cache is what a flush means.
type Cache string

// Caches.
const (
	// Writeback (the default): what is written may wait in the host's memory; a flush
	// puts it on the disk before it is answered.
	Writeback Cache = "writeback"
	// Unsafe: a flush does nothing. For disks that nobody needs after a crash of the
	// host.
	Unsafe Cache = "unsafe"
)

// Caches are the values of a Cache, beside "", which is Writeback.
var Caches = []Cache{Writeback, Unsafe}

// Check is an error that lists the values, where c is none of them.
func (c Cache) Check() error { return enum.Check(c, Caches) }

// Engine is who waits for the disk.
type Engine string

// Engines.
const (
	AutoEngine Engine = "auto"    // the default: io_uring, or threads where that is missing or forbidden
	IOUring    Engine = "uring"   // one io_uring a queue
	Threads    Engine = "threads" // blocking calls in a few threads a queue
)

// Engines are the values of an Engine, beside "", which is AutoEngine.
var Engines = []Engine{AutoEngine, IOUring, Threads}

// Check is an error that lists the values, where e is none of them.
func (e Engine) Check() error { return enum.Check(e, Engines) }

// Bounds of a Config.
const (
	MaxQueues        = 64
	DefaultQueueSize = 256
	MaxSerial        = 20 // VIRTIO_BLK_ID_BYTES
)

// Config is one disk. One of Path, File and Image is set; the zero value
// of each other field is its default.
type Config struct {
	// Path is an image file or a block device.
	Path string
	// File is the image, open, for a process that opens nothing: see disk.Options. Path
	// is its name then, and where a qcow2 image's backing files are found; it may be
	// empty. The device closes File, also where New or Change fails.
	File *os.File
	// ReadOnly disks refuse writes, and several machines may share their file.
	ReadOnly bool
	// Format is the image's; see disk.Auto for what is found out by itself.
	Format disk.Format
	// Cache says what a flush does.
	Cache Cache
	// Engine says who waits for the disk.
	Engine Engine
	// Direct goes past the host's page cache (O_DIRECT).
	Direct bool
	// Backing is the folder that a qcow2 image's backing files lie in or below; "":
	// regular files of the image's own folder.
	Backing string
	// Queues is the number of virtqueues: at most one a processor is of use. 0: 1.
	Queues int
	// QueueSize is the number of descriptors in each, a power of two; 0: 256.
	QueueSize int
	// Serial is what the guest reads as the disk's serial number, at most 20 bytes of
	// ASCII; "": none.
	Serial string
	// NoDiscard keeps from the guest that space can be given back.
	NoDiscard bool
	// Limits hold the disk to so many bytes and operations a second. Zeroed bytes count
	// like written ones; a discard is an operation of no bytes.
	Limits ratelimit.Config

	// Report is told of I/O errors, at most one a second, and of what people should
	// know about the image. nil: nobody is. It must not block.
	Report func(error) `json:"-"`
	// Image is an open image to use instead of Path's, which then is its name only.
	// The device closes it, also where New or Change fails.
	Image disk.Image
}

// Check tells what is wrong with the numbers and names of a Config, without a look
// at its file. New does it too.
func (c Config) Check() error {
	if err := c.check(); err != nil {
		return virtio.Named(c.DeviceName(), err)
	}
	return nil
}

func (c *Config) check() error {
	switch {
	case c.Path == "" && c.Image == nil && c.File == nil:
		return errors.New("path: a disk needs an image file or a block device")
	case c.File != nil && c.Image != nil:
		return errors.New("file and image are mutually exclusive")
	case c.Cache.Check() != nil:
		return fmt.Errorf("cache: %w", c.Cache.Check())
	case c.Engine.Check() != nil:
		return fmt.Errorf("engine: %w", c.Engine.Check())
	case c.Format.Check() != nil:
		return fmt.Errorf("format: %w", c.Format.Check())
	case c.Queues < 0 || c.Queues > MaxQueues:
		return fmt.Errorf("queues: %d; there are 1 to %d", c.Queues, MaxQueues)
	case c.QueueSize != 0 && (c.QueueSize < 4 || c.QueueSize > virtio.MaxQueueSize || c.QueueSize&(c.QueueSize-1) != 0):
		return fmt.Errorf("queue-size: %d; it is a power of two from 4 to %d", c.QueueSize, virtio.MaxQueueSize)
	case len(c.Serial) > MaxSerial:
		return fmt.Errorf("serial: %q has %d bytes; at most %d reach the guest", c.Serial, len(c.Serial), MaxSerial)
	}
	for i := range len(c.Serial) {
		if b := c.Serial[i]; b < 0x20 || b > 0x7e {
			return fmt.Errorf("serial: %q: only printable ASCII", c.Serial)
		}
	}
	if err := c.Limits.Check(); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}
