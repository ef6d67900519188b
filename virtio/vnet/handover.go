package vnet

import (
	"fmt"

	"github.com/mayfly-vm/mayfly/internal/handover"
)

// Handover is for mayfly.Spawn.
func (c Config) Handover(r *handover.Record) error {
	if c.Report != nil {
		return fmt.Errorf("report: a function %w; the machine's Logger is told instead", handover.ErrStays)
	}
	if repeats(c.FDs) {
		return fmt.Errorf("fds: %d: one of them is there twice", c.FDs)
	}
	fds := c.FDs
	c.FDs = nil
	return r.Set("net", c, fds...)
}

// Received is the configuration that was handed over.
func Received(r *handover.Record) (Config, error) {
	var c Config
	err := r.Get(&c)
	c.FDs = r.FDs
	return c, err
}
