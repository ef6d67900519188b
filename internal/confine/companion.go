package confine

import (
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// Rights are what a program keeps that Mayfly starts to read hostile input.
type Rights struct {
	Limits Limits
	Keep   []int                        // inherited descriptors beyond the standard ones
	Files  landlock.Rules               // where the host has Landlock
	Calls  func(pid int) seccomp.Policy // of the process pid
}

// Companion confines this process to rights: it has no other inherited descriptor, no
// capability, no other file, and is killed at any other system call. Call it before the
// first byte is read.
//
// A program built with cgo starts again here; see RestartWithCgo.
func Companion(r Rights) error {
	if err := RestartWithCgo(); err != nil {
		return err
	}
	if err := CloseInherited(r.Keep...); err != nil {
		return err
	}
	if err := r.Limits.Set(); err != nil {
		return err
	}
	if dropped() && cgo() {
		return nil // no call reaches all threads: its limits and lost capabilities are what there is
	}
	_, err := Seal(r.Files, func() error { return Filter(r.Calls, seccomp.All) })
	if err == nil {
		tryDefect()
	}
	return err
}
