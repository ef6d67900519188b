package seccomp

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Available returns why no filter that kills can be installed here, or nil.
func Available() error {
	action := uint32(KillProcess)
	_, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if e != 0 {
		return os.NewSyscallError("seccomp", e)
	}
	return nil
}

// Threads are the threads that get a filter.
type Threads uintptr

// Threads of an Install.
const (
	This Threads = 0
	All  Threads = unix.SECCOMP_FILTER_FLAG_TSYNC // of the process; none may have a filter that this one has not
)

// Install makes prog, a compiled Policy, an additional filter of these threads and of
// those that they start. It sets no_new_privs for them. An error changes no thread's
// filters.
func Install(prog []unix.SockFilter, threads Threads) error {
	_, err := install(prog, uintptr(threads))
	return err
}

// InstallNotify is Install of a policy with the action Notify, for all threads. listener
// is the descriptor by which another process learns of the calls (seccomp_unotify(2)).
// Until there is one that does, they wait.
func InstallNotify(prog []unix.SockFilter) (listener int, err error) {
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH
	// Since Linux 5.19 signals, of which Go's runtime sends many, do not interrupt a call
	// that its listener has seen.
	listener, err = install(prog, flags|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if errors.Is(err, unix.EINVAL) {
		listener, err = install(prog, flags)
	}
	return listener, err
}

func install(prog []unix.SockFilter, flags uintptr) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, os.NewSyscallError("PR_SET_NO_NEW_PRIVS", err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: unsafe.SliceData(prog)}
	r, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
	switch {
	case e != 0:
		return -1, os.NewSyscallError("seccomp", e)
	case r != 0 && flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER == 0:
		return -1, fmt.Errorf("seccomp: thread %d has a filter of its own", r)
	}
	return int(r), nil
}
