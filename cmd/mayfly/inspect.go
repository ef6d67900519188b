package main

import (
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/summary"
	"github.com/mayfly-vm/mayfly/kernel"
)

func inspect(o *flags.Inspect, file string) int {
	image, err := kernel.Open(file, o.Options)
	if err != nil {
		return fail(err, "inspect")
	}
	defer image.Close()
	found := image.Inspect()
	return shown(o.JSON, found, func() string { return summary.Kernel(found) })
}
