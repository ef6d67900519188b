// Package process changes what this process keeps from others, and what it becomes.
package process

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine"
)

// Harden keeps what this process holds from others: no program that it starts gets a descriptor that it was started with,
// and no core dump is written, which would have guest memory in it. To be called before anything is opened.
func Harden() error {
	return errors.Join(confine.MarkCloseOnExec(), confine.Limits{}.Set(), startPoller())
}

// Hide keeps other processes of the same user from tracing this one and from reading its memory. It is called after all other
// programs are started: a child of a hidden process can't be given a user namespace.
func Hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
