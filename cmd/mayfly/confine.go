package main

import (
	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
)

// confinement is what --confine asks for; nil: none. warn says what the host can't give.
func confinement(mode monitor.Mode, warn func(string)) (mayfly.Confinement, error) {
	if mode == monitor.Off {
		return nil, nil
	}
	c, err := monitor.New(mode, warn)
	if err != nil {
		return nil, err
	}
	return c, nil
}
