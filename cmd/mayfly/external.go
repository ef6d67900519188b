package main

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/internal/companion"
)

// external becomes the program that does the work of a command: that of the table, or, with no such command, mayfly-NAME.
func external(name string, c *option.Command, args []string) int {
	program := flags.Name + "-" + name
	if c != nil {
		program, args = c.Program, append([]string{name}, args...)
	}
	path := ""
	if c != nil || name != "" && !strings.ContainsAny(name, "/\x00") && name[0] != '-' {
		path = companion.Find(program)
	}
	switch {
	case path == "" && c == nil:
		return notFound(name)
	case path == "":
		report.Message(name + ": the program that does this, " + program + ", is neither beside this program nor in PATH: install it")
		return exit.Error
	}
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	report.Message((&fs.PathError{Op: "run", Path: path, Err: err}).Error())
	return exit.Error
}

func notFound(name string) int {
	if name == "" {
		return report.Usage(&option.UsageError{Msg: "found an empty argument in place of a command: is a variable of the shell not set?"}, "")
	}
	msg := "there is no command " + name
	if strings.HasPrefix(name, "-") {
		msg = "there is no flag " + name + " before a command"
	}
	if near := option.Nearest(name, flags.Names()); near != "" {
		msg += "; did you mean " + near + "?"
	} else if _, err := os.Stat(name); err == nil && name != "" {
		msg += "; to boot that file: " + flags.Name + " run " + name
	}
	return report.Usage(&option.UsageError{Msg: msg}, "")
}
