package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

// external becomes the program mayfly-NAME: what this program can't afford to link lives in such programs.
func external(name string, args []string) int {
	path := ""
	if name != "" && !strings.ContainsAny(name, "/\x00") && name[0] != '-' {
		path = findProgram(programName + "-" + name)
	}
	if path == "" {
		return notFound(name)
	}
	err := syscall.Exec(path, append([]string{path}, args...), os.Environ())
	say((&fs.PathError{Op: "run", Path: path, Err: err}).Error())
	return exitError
}

// findProgram looks beside this program, then in PATH. The current folder is never looked at, whatever PATH says. (os/exec
// would do it, and cost each start its initialisation.)
func findProgram(name string) string {
	var dirs []string
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	for _, dir := range append(dirs, filepath.SplitList(os.Getenv("PATH"))...) {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) {
			continue
		}
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	return ""
}

func notFound(name string) int {
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
