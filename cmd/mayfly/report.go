package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

// say writes a message for the user; the guest has standard output to itself. The text may hold what a hostile file says.
func say(text string) { os.Stderr.WriteString(programName + ": " + safetext.Message(text) + "\n") }

// usage tells what is wrong with a command line and where to read on.
func usage(err error, command string) int {
	say(explain(err))
	hint := programName + " --help"
	if command != "" {
		hint = programName + " " + command + " --help"
	}
	os.Stderr.WriteString("Try: " + hint + "\n")
	return exitUsage
}

// badLine tells why a command line wasn't understood. A file that it names has its own words: what is in it is the
// user's mistake, that it can't be read is an error like any other.
func badLine(err error, command string) int {
	var u *option.UsageError
	if !errors.As(err, &u) || u.Err == nil {
		return usage(err, command)
	}
	var file *document.Error
	var path *fs.PathError
	isFile := errors.As(u.Err, &file)
	if isFile {
		err = file
	}
	switch {
	case errors.As(u.Err, &path), errors.As(u.Err, new(*document.HostError)):
		say(explain(err))
		return exitError
	case isFile:
		say(explain(err))
		return exitUsage
	}
	return usage(err, command)
}

// fail tells an error and gives its exit code: a value that cannot be is the user's, all else is 1.
func fail(err error, command string) int {
	var c *mayfly.ConfigError
	if errors.As(err, &c) {
		return usage(errors.New(command+": "+flagOf(c.Field)+": "+c.Msg), command)
	}
	say(explain(err))
	return exitError
}

// flagOf names the flag behind a field of the configuration.
func flagOf(field string) string {
	switch field {
	case "Kernel":
		return "KERNEL"
	case "CPUs", "Memory", "Cmdline", "Boot", "Load", "Platform", "Bus", "Watchdog", "SMBIOS", "HugePages", "Prealloc", "Nested", "PMU":
		return "--" + lower(field)
	case "HostReserve":
		return "--host-reserve"
	case "OnReboot":
		return "--on-reboot"
	case "Consoles":
		return "--console"
	case "Nets":
		return "--net"
	}
	return field
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// printText writes text to standard output, escaped for a terminal, and returns the exit code: text that did not arrive is
// an error.
func printText(text string) int {
	_, err := os.Stdout.WriteString(safetext.Lines(text))
	return printed(err)
}

// printed is the exit code after err of standard output.
func printed(err error) int {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if err != nil {
		say("cannot write to standard output: " + err.Error())
		return exitError
	}
	return exitOK
}

// printJSON writes a value to standard output.
func printJSON(v any) int {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		say(explain(err))
		return exitError
	}
	_, err := os.Stdout.Write(safetext.JSON(b.Bytes()))
	return printed(err)
}
