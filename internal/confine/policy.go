package confine

import (
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// Converter is the policy of a program that turns its input into its output, files that
// are open, and does nothing else.
func Converter(pid int) seccomp.Policy {
	rules := append(ProcessCalls(pid), seccomp.Only(unix.SYS_FCNTL, 1, unix.F_GETFL, unix.F_SETFL))
	rules = append(rules, seccomp.Calls(unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_LSEEK, unix.SYS_FSTAT, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE)...)
	return seccomp.Policy{Rules: rules, Otherwise: seccomp.KillProcess}
}

// Network is the policy of a program that has the host's network for a machine without
// one: TCP, UDP and ICMP echoes, and questions about routes. It opens files as far as
// Landlock lets it.
func Network(pid int) seccomp.Policy {
	rules := append(ProcessCalls(pid),
		seccomp.Only(unix.SYS_SOCKET, 0, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK),
		seccomp.Only(unix.SYS_FCNTL, 1, unix.F_GETFL, unix.F_SETFL, unix.F_SETFD, unix.F_GETFD, unix.F_DUPFD_CLOEXEC))
	rules = append(rules, seccomp.Calls(
		unix.SYS_BIND, unix.SYS_CONNECT, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN,
		unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME, unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT,
		unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_READV, unix.SYS_WRITEV,
		unix.SYS_PPOLL, unix.SYS_POLL, unix.SYS_PIPE2, unix.SYS_SPLICE, // between two connections
		unix.SYS_OPENAT, unix.SYS_NEWFSTATAT, unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_PREAD64,
		unix.SYS_UNLINKAT, // its own socket, as far as Landlock lets it
	)...)
	return seccomp.Policy{Rules: rules, Otherwise: seccomp.KillProcess}
}
