// Package report shows a program's results and messages to its user: results on standard output, messages on standard error,
// both escaped for a terminal, since they may quote hostile files and guests. Functions that return an int return the exit code.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

// Message writes a message to standard error.
func Message(text string) { os.Stderr.WriteString(flags.Name + ": " + safetext.Message(text) + "\n") }

// Usage writes what is wrong with a command's line, and which help to read. An empty command is the program itself.
func Usage(err error, command string) int {
	Message(Explain(err))
	hint := flags.Name + " --help"
	if command != "" {
		hint = flags.Name + " " + command + " --help"
	}
	os.Stderr.WriteString("Try: " + hint + "\n")
	return exit.Usage
}

// LineError writes why a command's line can't be parsed. An error in a configuration file that it names is a usage error as
// well; a file that can't be read isn't.
func LineError(err error, command string) int {
	var u *option.UsageError
	if !errors.As(err, &u) || u.Err == nil {
		return Usage(err, command)
	}
	var file *document.Error
	var path *fs.PathError
	isFile := errors.As(u.Err, &file)
	if isFile {
		err = file
	}
	switch {
	case errors.As(u.Err, &path), errors.As(u.Err, new(*document.HostError)):
		Message(Explain(err))
		return exit.Error
	case isFile:
		Message(Explain(err))
		return exit.Usage
	}
	return Usage(err, command)
}

// Text writes text to standard output. A failure to write is an error of the program.
func Text(text string) int {
	_, err := os.Stdout.WriteString(safetext.Lines(text))
	return Written(err)
}

// Written reports err of standard output, if it is one.
func Written(err error) int {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if err != nil {
		Message("cannot write to standard output: " + err.Error())
		return exit.Error
	}
	return exit.OK
}

// JSON writes a value to standard output as JSON.
func JSON(v any) int {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		Message(Explain(err))
		return exit.Error
	}
	_, err := os.Stdout.Write(safetext.JSON(b.Bytes()))
	return Written(err)
}
