package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// configFile reads the machine from a file. It is set before the other flags, so that they are set over it.
func (o *runOptions) configFile() option.Value {
	return option.Value{
		Files: true,
		Set: func(path string) error {
			if path == "" {
				return errors.New("empty; name a file, or - for standard input")
			}
			if o.config != "" {
				return fmt.Errorf("%s is there already, and a machine has one file", o.config)
			}
			n, err := o.readConfig(path)
			if err != nil {
				return err
			}
			if path == "-" {
				path = standardInput
			}
			if err := option.Apply(o.flags(), n); err != nil {
				if e := new(document.Error); errors.As(err, &e) {
					e.File = path
				}
				return err
			}
			o.config = path
			o.cmdline.next()
			return nil
		},
	}
}

// standardInput is the name of the file - in messages.
const standardInput = "standard input"

// readConfig reads a file; - is standard input, whose text is kept for becomeQCOW2. The guest's input then has ended.
func (o *runOptions) readConfig(path string) (*document.Node, error) {
	if path != "-" {
		return document.Read(path)
	}
	if terminal.Is(os.Stdin) {
		return nil, errors.New("standard input is a terminal, which the guest is to have; redirect a file or a pipe")
	}
	b, err := document.Text(os.Stdin)
	if err != nil {
		return nil, err
	}
	o.configText = b
	return document.Content(standardInput, b)
}

// rewindConfig lets a program that this one becomes read the same configuration from standard input.
func (o *runOptions) rewindConfig() error {
	if o.configText == nil {
		return nil
	}
	f, err := memoryFile("configuration", o.configText)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return unix.Dup3(int(f.Fd()), 0, 0)
}

func schemaCommand() *option.Command {
	return &option.Command{
		Name: "schema", Brief: "print the JSON schema of the files that run --config reads",
		Long: []string{"The schema (JSON Schema 2020-12) lets an editor complete and check such a file, be it JSON or YAML. It is made of the same table as the flags of run."},
		Examples: []option.Example{
			{Line: "mayfly schema > mayfly.schema.json", What: "then begin a YAML file with: # yaml-language-server: $schema=mayfly.schema.json"},
		},
		Run: func([]string) int {
			o := &runOptions{}
			return printText(option.Schema("A machine, as mayfly run --config reads it", o.machine()))
		},
	}
}
