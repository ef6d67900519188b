//go:build !qcow2

package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

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
			if err := o.becomeQCOW2(path); err != nil {
				say(path + ": " + err.Error())
			}
		}
		return
	}
}

// becomeQCOW2 returns only with an error. The program reads the arguments again, and with them what was read before.
func (o *runOptions) becomeQCOW2(path string) error {
	if err := o.rewindConfig(); err != nil {
		return err
	}
	var descriptors []int
	for i := range o.cfg.Nets {
		descriptors = append(descriptors, o.cfg.Nets[i].FDs...)
	}
	paths := append([]string{o.cfg.Kernel}, o.cfg.Initrd...)
	for i := range o.cfg.Disks {
		paths = append(paths, o.cfg.Disks[i].Path)
	}
	for _, p := range paths {
		if fd := descriptorAt(p); fd > 2 {
			descriptors = append(descriptors, fd)
		}
	}
	return execWith(path, append([]string{path}, os.Args[1:]...), os.Environ(), descriptors)
}

// descriptorAt is the descriptor of this process that a path names, such as /dev/fd/3; -1: none that is open.
func descriptorAt(path string) int {
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, ok := strings.CutPrefix(path, dir); ok {
			fd, err := strconv.Atoi(number)
			if err != nil {
				return -1
			}
			if _, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				return fd
			}
		}
	}
	return -1
}
