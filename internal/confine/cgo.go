package confine

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// RestartWithCgo starts this program again without privileges if it was built with
// cgo, as go install does for what links package net: no call then reaches all
// threads. The new program has the same arguments, environment and descriptors. Call
// it at the start of main; without cgo it does nothing.
func RestartWithCgo() error {
	if !cgo() || dropped() {
		return nil
	}
	runtime.LockOSThread() // execve takes the privileges of its thread
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("PR_SET_NO_NEW_PRIVS", err)
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // none before Linux 4.3
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if _, _, e := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0); e != 0 {
		return os.NewSyscallError("capset", e)
	}
	return &os.PathError{Op: "run", Path: "/proc/self/exe", Err: syscall.Exec("/proc/self/exe", os.Args, os.Environ())}
}

// cgo tells whether this program was built with cgo: no call then reaches all threads.
func cgo() bool {
	_, _, e := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0)
	return e == syscall.ENOTSUP
}

// dropped reports whether this thread has no capability and can get none: so it is for
// all threads where that was so at the start of the program.
func dropped() bool {
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && nnp == 1 && noCapabilities()
}
