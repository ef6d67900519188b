// The vCPUs' threads block in KVM, so GOMAXPROCS needn't follow the container's CPU
// quota: reading it costs a start five files.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Mayfly runs virtual machines on Linux, by KVM or by a processor in software. "mayfly help" lists its commands.
//
// The command only connects: package flags turns arguments into a mayfly.Config, package mayfly runs the machine, and other
// packages have the terminal, signals and messages. How fast it starts is a feature: nothing is built before the arguments
// need it, and what only generates text is in another program, mayfly-doc.
package main

import (
	"errors"
	"os"
	"time"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
)

func main() {
	begun := time.Now() // for --timeline
	os.Exit(run(os.Args[1:], begun))
}

// run executes the command that the arguments name and returns the exit code.
func run(args []string, begun time.Time) int {
	if len(args) == 0 {
		os.Stderr.WriteString(programHelp())
		return exit.Usage
	}
	name, args := args[0], args[1:]
	switch name {
	case "-h", "--help", "-help":
		return help(args)
	case "--version", "-V":
		name = "version"
	}
	c, do := command(name, begun)
	if do == nil {
		return external(name, c, args) // with all that this process was started with
	}
	if err := process.Harden(); err != nil {
		report.Message(report.Explain(err))
		return exit.Error
	}
	operands, err := c.Parse(args)
	if errors.Is(err, option.ErrHelp) {
		return report.Text(c.Help(flags.Name))
	}
	if err != nil {
		return report.LineError(err, name)
	}
	return do(operands)
}

// command describes a subcommand and returns what does its work; nil: another program does, or there is none of that name.
func command(name string, begun time.Time) (c *option.Command, do func(operands []string) int) {
	switch name {
	case "run":
		r := &running{begun: begun}
		return r.Command(), r.run
	case "inspect":
		o := new(flags.Inspect)
		return o.Command(), func(operands []string) int { return inspect(o, operands[0]) }
	case "check":
		o := new(flags.Check)
		return o.Command(), func([]string) int { return runCheck(o) }
	case "doctor":
		o := new(flags.Doctor)
		return o.Command(), func([]string) int { return examine(o) }
	case "version":
		o := new(flags.Version)
		return o.Command(), func([]string) int { return showVersion(o) }
	case "help":
		return flags.Help(), help
	}
	return flags.Command(name), nil
}
