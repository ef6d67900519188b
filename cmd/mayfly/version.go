package main

import (
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/version"
)

func showVersion(o *flags.Version) int {
	v := version.Read()
	return shown(o.JSON, v, func() string { return v.Text(flags.Name) })
}
