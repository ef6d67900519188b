package flags

import (
	"errors"
	"fmt"
	"os"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// configFile reads the machine from a file. It is set before the other flags, which override it.
func (o *Run) configFile() option.Value {
	return option.Value{
		Files: true,
		Set: func(path string) error {
			if path == "" {
				return errors.New("empty; name a file, or - for standard input")
			}
			if o.file != "" {
				return fmt.Errorf("a machine has one file, and %s was given before", o.file)
			}
			n, err := o.readConfig(path)
			if err != nil {
				return err
			}
			if path == "-" {
				path = standardInput
			}
			if err := option.Apply(o.Flags(), n); err != nil {
				if e := new(document.Error); errors.As(err, &e) {
					e.File = path
				}
				return err
			}
			o.file = path
			o.Cmdline.nextSource()
			return nil
		},
	}
}

// standardInput is the name of the file - in messages.
const standardInput = "standard input"

// readConfig reads a file; - is standard input, whose text is kept, and of which nothing is left for the guest.
func (o *Run) readConfig(path string) (*document.Node, error) {
	if path != "-" {
		return document.Read(path)
	}
	if terminal.Is(os.Stdin) {
		return nil, errors.New("standard input is a terminal, which is for the guest; redirect a file or a pipe")
	}
	b, err := document.Text(os.Stdin)
	if err != nil {
		return nil, err
	}
	o.StandardInput = b
	return document.Content(standardInput, b)
}
