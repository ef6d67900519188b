package main

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
)

// fail reports an error of a command and returns its exit code: that of a usage error for a configuration that can't be,
// named by its flag.
func fail(err error, command string) int {
	var c *mayfly.ConfigError
	if errors.As(err, &c) {
		return report.Usage(fmt.Errorf("%s: %w", command, flags.Named(c)), command)
	}
	report.Message(report.Explain(err))
	return exit.Error
}
