package rng

import "github.com/mayfly-vm/mayfly/internal/handover"

// Handover is for mayfly.Spawn.
func (c Config) Handover(r *handover.Record) error { return r.Set("rng", c) }

// Received is the configuration that was handed over.
func Received(r *handover.Record) (Config, error) {
	var c Config
	err := r.Get(&c)
	return c, err
}
