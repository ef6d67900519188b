package vsock

import (
	"fmt"
	"os"

	"github.com/mayfly-vm/mayfly/internal/handover"
)

// Handover is for mayfly.Spawn.
func (c Config) Handover(r *handover.Record) error {
	var fds []int
	if c.Listener != nil {
		fd, err := handover.FD(c.Listener)
		if err != nil {
			return err
		}
		fds, c.Listener = []int{fd}, nil
	}
	return r.Set("vsock", c, fds...)
}

// Received is the configuration that was handed over.
func Received(r *handover.Record) (Config, error) {
	var c Config
	if err := r.Get(&c); err != nil {
		return Config{}, err
	}
	switch len(r.FDs) {
	case 0:
	case 1:
		c.Listener = os.NewFile(uintptr(r.FDs[0]), "listener")
	default:
		return Config{}, fmt.Errorf("%d descriptors for a socket device", len(r.FDs))
	}
	return c, nil
}
