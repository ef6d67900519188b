// Mayfly-doc prints what is generated from the table of Mayfly's commands and flags: the manual page, the JSON schema of
// configuration files and the completion scripts of shells. "mayfly man", "mayfly schema" and "mayfly completion" run it.
package main

import (
	"errors"
	"os"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/cmd/internal/reference"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/version"
)

func main() { os.Exit(run(os.Args[1:])) }

// run executes the command that the arguments, those of mayfly, name and returns the exit code.
func run(args []string) int {
	if len(args) == 0 {
		report.Message("mayfly-doc does the work of other commands: mayfly man, mayfly schema and mayfly completion")
		return exit.Usage
	}
	name := args[0]
	c, do := command(name)
	if do == nil {
		return report.Usage(&option.UsageError{Msg: "there is no command " + name + " in mayfly-doc"}, "")
	}
	operands, err := c.Parse(args[1:])
	if errors.Is(err, option.ErrHelp) {
		return report.Text(c.Help(flags.Name))
	}
	if err != nil {
		return report.LineError(err, name)
	}
	return do(operands)
}

// command describes a subcommand and returns what does its work; nil: there is none of that name.
func command(name string) (c *option.Command, do func(operands []string) int) {
	switch name {
	case "man":
		o := new(flags.Man)
		return o.Command(), func([]string) int { return man(o) }
	case "schema":
		return flags.Schema(), func([]string) int { return report.Text(schema()) }
	case "completion":
		return flags.Completion(), func(operands []string) int { return completion(operands[0]) }
	}
	return nil, nil
}

func program() *option.Program { return flags.Program(version.Read().Version) }

func schema() string {
	return reference.Schema("A machine, as mayfly run --config reads it", new(flags.Run).Machine())
}

func man(o *flags.Man) int {
	if o.Markdown {
		return report.Text(reference.Markdown(program()))
	}
	return report.Text(reference.Man(program()))
}

func completion(shell string) int {
	script := reference.Completion(program(), shell)
	if script == "" {
		return report.Usage(&option.UsageError{Command: "completion", Msg: "no script for " + shell + ": SHELL is bash, zsh or fish"}, "completion")
	}
	return report.Text(script)
}
