package confine

import (
	"errors"

	"github.com/mayfly-vm/mayfly/internal/landlock"
)

// Seal takes from all threads of this process, for good, files and TCP but what the rules
// leave, all capabilities, and what the filter forbids. version is that of Landlock; 0: the
// host has none, and the rest is applied.
//
// The filter comes first: with SECCOMP_FILTER_FLAG_TSYNC one call gives it and no_new_privs
// to all threads, and each call that Go makes in all threads by itself costs a start some
// 50 µs. It must allow ProcessCalls, of which landlock_restrict_self and capset can only
// take more.
func Seal(files landlock.Rules, filter func() error) (version int, err error) {
	version = landlock.Version()
	rules, err := landlock.New(version, files)
	if err != nil && !errors.Is(err, landlock.ErrUnsupported) {
		return 0, err
	}
	if rules != nil {
		defer rules.Close()
	}
	capable := !noCapabilities() // each thread has what its process began with
	if err := filter(); err != nil {
		return 0, err
	}
	if rules != nil {
		if err := rules.Enforce(); err != nil {
			return 0, err
		}
	}
	if capable {
		return version, dropCapabilities()
	}
	return version, nil
}
