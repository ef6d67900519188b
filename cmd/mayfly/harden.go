package main

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine"
)

// harden keeps what this process holds from others: no program that it starts gets a descriptor that it was started with,
// and no core dump is written, which would have guest memory in it. To be called before anything is opened.
func harden() error {
	return errors.Join(confine.MarkCloseOnExec(), confine.Limits{}.Set(), startPoller())
}

// hide makes this process one that others of the same user can't trace, nor read the memory of. Not before all programs
// are started: one whose parent is so can't be given a user namespace.
func hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// execWith becomes another program, which inherits the descriptors.
func execWith(path string, args, env []string, descriptors []int) error {
	for _, fd := range descriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return syscall.Exec(path, args, env)
}
