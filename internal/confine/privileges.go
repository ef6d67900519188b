package confine

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropCapabilities takes all capabilities from all threads of this process, for good where
// they have no_new_privs: also root then is a user like another, but for root's own files.
//
// The ambient set goes with the permitted. The bounding set stays: it bounds what execve
// and CAP_SETPCAP can give, and neither can give anything any more. To empty it takes a
// call in all threads for each of 41 capabilities, 3 ms at each start.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, e := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&none)
	if e != 0 {
		return os.NewSyscallError("capset", e)
	}
	return nil
}

// noCapabilities reports whether this thread has no capability.
func noCapabilities() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	return unix.Capget(&header, &have[0]) == nil && have == [2]unix.CapUserData{}
}
