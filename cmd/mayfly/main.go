// The processors' threads block in KVM, so the number of Go's own is no matter of
// the container's CPU quota: looking it up costs a start five files.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Mayfly runs virtual machines on Linux/KVM. "mayfly help" tells all.
//
// The command has no logic of its own: it turns flags into a mayfly.Config, lends the machine the terminal and tells how it
// ended. How fast it starts is a feature: nothing is built before the arguments say that it is needed.
package main

import (
	"errors"
	"os"
	"time"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

func main() {
	begun := time.Now() // for --timeline
	os.Exit(run(os.Args[1:], begun))
}

// run does what the arguments say and returns the exit code.
func run(args []string, begun time.Time) int {
	if len(args) == 0 {
		os.Stderr.WriteString(program().Help())
		return exitUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "-h", "--help", "-help":
		return help(args)
	case "--version", "-V":
		name = "version"
	}
	c := command(name, begun)
	if c == nil {
		return external(name, args) // with all that this process was started with
	}
	if err := harden(); err != nil {
		say(explain(err))
		return exitError
	}
	operands, err := c.Parse(args)
	if errors.Is(err, option.ErrHelp) {
		return printText(c.Help(programName))
	}
	if err != nil {
		return badLine(err, name)
	}
	return c.Run(operands)
}

// commandNames are the subcommands in the order of the help.
func commandNames() []string {
	return []string{"run", "inspect", "check", "doctor", "schema", "version", "completion", "man", "help"}
}

// command describes a subcommand; nil: there is none of that name.
func command(name string, begun time.Time) *option.Command {
	switch name {
	case "run":
		return runCommand(begun)
	case "inspect":
		return inspectCommand()
	case "check":
		return checkCommand()
	case "doctor":
		return doctorCommand()
	case "schema":
		return schemaCommand()
	case "version":
		return versionCommand()
	case "completion":
		return completionCommand()
	case "man":
		return manCommand()
	case "help":
		return helpCommand()
	}
	return nil
}
