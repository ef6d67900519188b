package main

import (
	"errors"
	"fmt"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

// configFile reads the machine from a file. It is set before the other flags, so that they are set over it.
func (o *runOptions) configFile() option.Value {
	return option.Value{
		Files: true,
		Set: func(path string) error {
			if o.config != "" {
				return fmt.Errorf("%s is there already, and a machine has one file", o.config)
			}
			n, err := document.Read(path)
			if err != nil {
				return err
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
