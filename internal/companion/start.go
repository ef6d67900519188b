package companion

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Namespaces are those that a program gets of its own, beside a user namespace in which it
// is who it was.
type Namespaces uintptr

// Sets of namespaces. A PID namespace is not among them: its process 1 is not ended by the
// signals of limits (SIGXFSZ, SIGXCPU), nor by one that it sends itself. A program's filter of
// system calls lets it signal no other process, and Landlock hides /proc.
const (
	// Isolated has no way to a network: mount, IPC, UTS and network.
	Isolated Namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET
	// Networked has the network of its parent.
	Networked Namespaces = Isolated &^ unix.CLONE_NEWNET
)

// Start starts a program with an empty environment in namespaces of its own, or, where the
// host does not let this user make any, or with 0, in those of this process. files are its descriptors
// from 0 on; a nil one is closed. This process must be dumpable (PR_SET_DUMPABLE), or the
// program can't get its user.
func Start(path string, args []string, files []*os.File, n Namespaces) (*os.Process, error) {
	attr := &os.ProcAttr{Dir: "/", Env: []string{}, Files: files}
	if n == 0 {
		return os.StartProcess(path, args, attr)
	}
	attr.Sys = &syscall.SysProcAttr{
		Cloneflags:  uintptr(n),
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}},
	}
	p, err := os.StartProcess(path, args, attr)
	if err == nil || !refused(err) {
		return p, err
	}
	attr.Sys = nil
	return os.StartProcess(path, args, attr)
}

// refused tells whether an error is a host's that allows no namespaces: by a limit
// (user.max_user_namespaces), a seccomp profile, AppArmor, or as one without any.
func refused(err error) bool {
	for _, e := range []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
