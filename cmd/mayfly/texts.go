package main

import (
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

func helpCommand() *option.Command {
	return &option.Command{
		Name: "help", Operands: "[COMMAND|DEVICE]", Brief: "show help about Mayfly, one of its commands, or the keys of a device",
		MaxArgs: 1, Values: append(commandNames(), deviceNames()...), Run: help,
	}
}

func help(operands []string) int {
	if len(operands) == 0 {
		return printText(program().Help())
	}
	for _, c := range program().Commands {
		if c.Name == operands[0] {
			return printText(c.Help(programName))
		}
	}
	for _, f := range new(runOptions).flags() {
		if f.Groups != nil && f.Name == operands[0] {
			return printText(f.KeysHelp())
		}
	}
	return notFound(operands[0])
}

func completionCommand() *option.Command {
	return &option.Command{
		Name: "completion", Operands: "SHELL", Brief: "print the completion script for bash, zsh or fish",
		MinArgs: 1, MaxArgs: 1, Values: option.Shells(),
		Examples: []option.Example{
			{Line: `eval "$(mayfly completion bash)"`, What: "for this bash; put the line into ~/.bashrc for all"},
			{Line: "source <(mayfly completion zsh)", What: "for this zsh, after compinit"},
			{Line: "mayfly completion fish > ~/.config/fish/completions/mayfly.fish", What: "for fish, for good"},
		},
		Run: func(operands []string) int {
			script := ""
			for _, s := range option.Shells() {
				if s == operands[0] {
					script = program().Completion(s)
				}
			}
			if script == "" {
				return usage(&option.UsageError{Command: "completion", Msg: "no script for " + operands[0] + ": SHELL is bash, zsh or fish"}, "completion")
			}
			return printText(script)
		},
	}
}

func manCommand() *option.Command {
	var markdown bool
	return &option.Command{
		Name: "man", Brief: "print the manual page",
		Flags: []option.Flag{{Name: "markdown", Help: "print it as Markdown instead of roff", Value: option.Bool(&markdown)}},
		Examples: []option.Example{
			{Line: "mayfly man | man -l -", What: "read it"},
			{Line: "mayfly man | sudo tee /usr/local/share/man/man1/mayfly.1 >/dev/null", What: "install it"},
		},
		Run: func([]string) int {
			if markdown {
				return printText(program().Markdown())
			}
			return printText(program().Man())
		},
	}
}

// deviceNames are the flags whose values are made of keys.
func deviceNames() (names []string) {
	for _, f := range new(runOptions).flags() {
		if f.Groups != nil {
			names = append(names, f.Name)
		}
	}
	return names
}
