// Package machinetest holds what tests that run machines and devices share.
package machinetest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// HaveKVM reports whether this process may open /dev/kvm. What such a KVM can run
// is another matter: see package lab.
func HaveKVM() bool { return unix.Access("/dev/kvm", unix.R_OK|unix.W_OK) == nil }

// NeedKVM skips the test where HaveKVM is false.
func NeedKVM(t testing.TB) {
	t.Helper()
	if !HaveKVM() {
		t.Skip("/dev/kvm cannot be opened here")
	}
}

// Patience is how long Until waits: far above what any step of a test takes, on
// a busy host too.
const Patience = 60 * time.Second

// Until returns when ok is true, which it finds out by asking every millisecond.
// It is for states of which nothing notifies, such as a counter of another
// goroutine or the descriptors of another process; where there is an event, wait
// for that. After Patience the test fails with what was expected.
func Until(t testing.TB, expected string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(Patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("after %v: no %s", Patience, expected)
		}
	}
}
