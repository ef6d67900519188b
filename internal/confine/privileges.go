package confine

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropPrivileges takes all capabilities from all threads of this process, and
// the way to any by execve, for good: also root then is a user like another, but
// for root's own files. A program that may be built with
// cgo calls RestartWithCgo first.
//
// The bounding set stays: it bounds what execve and CAP_SETPCAP can give, and
// neither can give anything any more. To empty it takes a call in all threads for
// each of 41 capabilities, 3 ms at each start.
func DropPrivileges() error {
	if err := allThreads("PR_SET_NO_NEW_PRIVS", syscall.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return err
	}
	// EINVAL: before Linux 4.3 there are none.
	if err := allThreads("PR_CAP_AMBIENT", syscall.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	err := allThreads("capset", syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&none)
	return err
}

// allThreads makes the same call in each thread: what it changes belongs to a
// thread.
func allThreads(name string, trap, a, b, c uintptr) error {
	if _, _, e := syscall.AllThreadsSyscall6(trap, a, b, c, 0, 0, 0); e != 0 {
		if e == syscall.ENOTSUP {
			if dropped() {
				return nil // by RestartWithCgo
			}
			return fmt.Errorf("%s: this program was built with cgo, build it with CGO_ENABLED=0", name)
		}
		return fmt.Errorf("%s: %w", name, e)
	}
	return nil
}
