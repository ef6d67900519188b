//go:build defect

package defect

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const getDirtyLog = 0x4010ae42 // KVM_GET_DIRTY_LOG

func raw(call uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, e := syscall.RawSyscall6(call, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
			return e
		}
		return nil
	}
}

// texts keeps what text returns the addresses of.
var texts []*byte

func text(s string) uintptr {
	b := append([]byte(s), 0)
	texts = append(texts, &b[0])
	return uintptr(unsafe.Pointer(&b[0]))
}

var here = ^uintptr(99) // AT_FDCWD

// attempts are what a process may not do, by their numbers.
var attempts = []struct {
	name string
	do   func() error
}{
	{"none", func() error { return nil }},
	{"open", raw(unix.SYS_OPENAT, here, text("/proc/version"), unix.O_RDONLY)},
	{"create", raw(unix.SYS_OPENAT, here, text("defect-was-here"), unix.O_CREAT|unix.O_WRONLY, 0o600)},
	{"execve", raw(unix.SYS_EXECVE, text("/bin/true"), 0, 0)},
	{"fork", raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD))},
	{"socket", raw(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM)},
	{"inet", raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM)},
	{"connect", raw(unix.SYS_CONNECT, 0, 0, 0)},
	{"ptrace", raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(os.Getppid()))},
	{"mprotect", raw(unix.SYS_MPROTECT, 0x10000, 4096, unix.PROT_READ|unix.PROT_EXEC)},
	{"mmap", raw(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON, ^uintptr(0))},
	{"kill", raw(unix.SYS_KILL, uintptr(os.Getppid()), 0)},
	{"tgkill", raw(unix.SYS_TGKILL, uintptr(os.Getppid()), uintptr(os.Getppid()), 0)},
	{"kvm", raw(unix.SYS_IOCTL, ^uintptr(0), getDirtyLog)},
	{"tiocsti", raw(unix.SYS_IOCTL, 0, unix.TIOCSTI)},
	{"io_uring_setup", raw(unix.SYS_IO_URING_SETUP, 1, 0)},
	{"bpf", raw(unix.SYS_BPF, 0, 0, 0)},
	{"process_vm_readv", raw(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid()))},
	{"setuid", raw(unix.SYS_SETUID, 0)},
	{"unshare", raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
	{"x32", raw(unix.SYS_GETPID | 0x4000_0000)},
	{"unlink", raw(unix.SYS_UNLINKAT, here, text("kept"))}, // Landlock's
	// Allowed to other threads than vCPUs'.
	{"thread", raw(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_FS|unix.CLONE_FILES|unix.CLONE_SIGHAND|unix.CLONE_SYSVSEM|unix.CLONE_THREAD|unix.CLONE_SETTLS)},
	{"terminal", raw(unix.SYS_IOCTL, 0, unix.TCGETS)},
}

// Try tries what is forbidden, and says on standard error how that went, if the process lives.
func Try(n int) {
	one := attempts[n]
	err := one.do()
	os.Stderr.WriteString(fmt.Sprintf("defect %s: %v\n", one.name, err))
}
