//go:build !qcow2

package main

import (
	"cmp"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/companion"
)

// withQCOW2 becomes mayfly-qcow2, which is this program and can read qcow2 images, if a disk is one: each start would
// pay 0.07 ms for linking it. Where that program isn't installed, the disk's own error names what to do.
func (r *running) withQCOW2() {
	for _, d := range r.Disks {
		if d.Config.Format != disk.QCOW2 && (cmp.Or(d.Config.Format, disk.Auto) != disk.Auto || !strings.HasSuffix(d.Config.Path, ".qcow2")) {
			continue
		}
		if path := companion.Find(flags.Name + "-qcow2"); path != "" {
			if err := r.become(path); err != nil {
				report.Message(path + ": " + err.Error())
			}
		}
		return
	}
}

// become returns only with an error. The program reads the arguments again, and with them what was read before.
func (r *running) become(path string) error {
	if r.StandardInput != nil {
		if err := process.ReplaceStdin(r.StandardInput); err != nil {
			return err
		}
	}
	var descriptors []int
	for i := range r.Nets {
		descriptors = append(descriptors, r.Nets[i].Config.FDs...)
	}
	paths := append([]string{r.Config.Kernel, r.Stats.Path}, r.Config.Initrd...)
	for i := range r.Disks {
		paths = append(paths, r.Disks[i].Config.Path)
	}
	for _, p := range paths {
		if fd := process.Descriptor(p); fd > 2 {
			descriptors = append(descriptors, fd)
		}
	}
	return process.Exec(path, descriptors)
}
