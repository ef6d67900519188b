//go:build !qcow2

package main

import (
	"os"
	"strings"
	"syscall"

	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/companion"
)

// withQCOW2 becomes mayfly-qcow2, which is this program and can read qcow2 images, if a disk is one: each start would
// pay 0.07 ms for linking it. Where that program isn't, the disk's own error says what to do.
func (o *runOptions) withQCOW2() {
	for _, d := range o.cfg.Disks {
		if d.Format != disk.QCOW2 && (d.Format != disk.Auto || !strings.HasSuffix(d.Path, ".qcow2")) {
			continue
		}
		if path := companion.Find(programName + "-qcow2"); path != "" {
			_ = syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
		}
		return
	}
}
