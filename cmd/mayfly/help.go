package main

import (
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/version"
)

func programHelp() string { return flags.Program(version.Read().Version).Help() }

// help shows the help of the program, a command or a device.
func help(operands []string) int {
	if len(operands) == 0 {
		return report.Text(programHelp())
	}
	if c := flags.Command(operands[0]); c != nil {
		return report.Text(c.Help(flags.Name))
	}
	for _, f := range new(flags.Run).Flags() {
		if f.Groups != nil && f.Name == operands[0] {
			return report.Text(f.KeysHelp())
		}
	}
	return notFound(operands[0])
}
