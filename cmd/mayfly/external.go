package main

import (
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/companion"
)

// external becomes the program mayfly-NAME: what this program can't afford to link lives in such programs.
func external(name string, args []string) int {
	path := ""
	if name != "" && !strings.ContainsAny(name, "/\x00") && name[0] != '-' {
		path = companion.Find(programName + "-" + name)
	}
	if path == "" {
		return notFound(name)
	}
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	say((&fs.PathError{Op: "run", Path: path, Err: err}).Error())
	return exitError
}

func notFound(name string) int {
	if name == "" {
		return usage(&option.UsageError{Msg: "found an empty argument in place of a command: is a variable of the shell not set?"}, "")
	}
	msg := "there is no command " + name
	if strings.HasPrefix(name, "-") {
		msg = "there is no flag " + name + " before a command"
	}
	if near := option.Nearest(name, commandNames()); near != "" {
		msg += "; did you mean " + near + "?"
	} else if _, err := os.Stat(name); err == nil && name != "" {
		msg += "; to boot that file: " + programName + " run " + name
	}
	return usage(&option.UsageError{Msg: msg}, "")
}
