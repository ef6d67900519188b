package confine

import (
	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// threadFlags are those with which Go's runtime makes a thread.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD | unix.CLONE_SETTLS

// RuntimeCalls allow what Go's runtime does in any thread of the process pid:
// memory that cannot be executed, timers, signals among its own threads, waiting for
// descriptors.
func RuntimeCalls(pid int) []seccomp.Rule {
	rules := seccomp.Calls(
		unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_CTL,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_MUNMAP, unix.SYS_MADVISE,
		unix.SYS_CLOSE, unix.SYS_EVENTFD2, unix.SYS_EPOLL_CREATE1,
		unix.SYS_RESTART_SYSCALL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	)
	return append(rules,
		seccomp.Without(unix.SYS_MMAP, 2, unix.PROT_EXEC),
		seccomp.Only(unix.SYS_TGKILL, 0, uint32(pid)),
		seccomp.Only(unix.SYS_PRCTL, 0, unix.PR_SET_VMA),
	)
}

// ProcessCalls allow what RuntimeCalls do and what a process needs as a whole: new threads,
// of which clone can make nothing else, and Seal's calls.
func ProcessCalls(pid int) []seccomp.Rule {
	return append(RuntimeCalls(pid), seccomp.Only(unix.SYS_CLONE, 0, threadFlags),
		seccomp.Rule{Call: unix.SYS_LANDLOCK_RESTRICT_SELF}, seccomp.Rule{Call: unix.SYS_CAPSET},
		seccomp.Only(unix.SYS_PRCTL, 0, unix.PR_SET_NO_NEW_PRIVS))
}
