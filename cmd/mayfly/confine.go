package main

import (
	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
)

// confinement is what --confine asks for; nil: none.
func confinement(mode monitor.Mode) (mayfly.Confinement, error) {
	if mode == monitor.Off {
		return nil, nil
	}
	c, err := monitor.New(mode)
	if err != nil {
		return nil, err
	}
	return c, nil
}
