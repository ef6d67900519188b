package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hosts are what a host can lack: the system calls that fail there, and how.
var hosts = map[string]map[uintptr]unix.Errno{
	"landlock": {unix.SYS_LANDLOCK_CREATE_RULESET: unix.ENOSYS},
	"seccomp":  {unix.SYS_SECCOMP: unix.ENOSYS},
	// A container by Docker's default profile, as far as it matters here.
	"namespaces": {
		unix.SYS_CLONE3: unix.ENOSYS, unix.SYS_UNSHARE: unix.EPERM, unix.SYS_SETNS: unix.EPERM, unix.SYS_MOUNT: unix.EPERM, unix.SYS_BPF: unix.EPERM,
		unix.SYS_IO_URING_SETUP: unix.EPERM, unix.SYS_IO_URING_ENTER: unix.EPERM, unix.SYS_IO_URING_REGISTER: unix.EPERM,
		unix.SYS_USERFAULTFD: unix.EPERM, unix.SYS_PERF_EVENT_OPEN: unix.EPERM, unix.SYS_KEYCTL: unix.EPERM,
	},
}

// without is the scripts' command "without WHAT PROGRAM [ARGUMENT...]": the program runs where
// system calls fail as on a host that lacks something, or in a container.
func without() {
	if err := runWithout(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "without:", err)
		os.Exit(100)
	}
}

func runWithout(what string, args []string) error {
	calls, ok := hosts[what]
	if !ok {
		return fmt.Errorf("%s is no host", what)
	}
	const load, equal, bits, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	const offsetCall, offsetArgs = 0, 16
	filter := []unix.SockFilter{{Code: load, K: offsetCall}}
	for call, errno := range calls {
		filter = append(filter, unix.SockFilter{Code: equal, K: uint32(call), Jf: 1}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	if what == "namespaces" { // clone's are told by its flags
		filter = append(filter, unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jf: 3}, unix.SockFilter{Code: load, K: offsetArgs},
			unix.SockFilter{Code: bits, K: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS, Jf: 1},
			unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})
	}
	filter = append(filter, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	runtime.LockOSThread() // execve takes this thread's filter
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if _, _, e := syscall.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return e
	}
	return syscall.Exec(path, args, os.Environ())
}
