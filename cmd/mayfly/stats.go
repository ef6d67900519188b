package main

import (
	"fmt"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/statsfile"
)

// statsGrace is how long the program waits for the reader of a full pipe to take the last counters.
const statsGrace = 3 * time.Second

// writeStats begins to write the machine's counters where --stats has them. finish writes the last ones and returns the exit
// code: code, or that of an error where code is a success and counters were lost.
func (r *running) writeStats(vm *mayfly.VM) (finish func(code int) int, err error) {
	if r.Stats.Path == "" {
		return func(code int) int { return code }, nil
	}
	file, err := statsfile.Open(r.Stats.Path)
	if err != nil {
		return nil, fmt.Errorf("--stats: %w", err)
	}
	var ticks <-chan time.Time
	if r.Stats.Every > 0 {
		ticks = time.Tick(r.Stats.Every)
	}
	w := statsfile.Start(file, ticks, func() any { return vm.Stats() })
	return func(code int) int {
		if err := w.Close(statsGrace); err != nil {
			report.Message("--stats: " + report.Explain(err))
			if code == exit.OK {
				code = exit.Error
			}
		}
		return code
	}, nil
}
