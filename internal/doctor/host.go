package doctor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
	"github.com/mayfly-vm/mayfly/kvm"
)

// This is the host that the program runs on. An empty device means the usual one.
func This(device string) Host {
	if device == "" {
		device = kvm.DefaultPath
	}
	return Host{Root: os.DirFS("/"), Device: device, Open: open, Soft: openSoft, Owner: owner, Limit: limit, Access: access, IOUring: ioUring,
		Seccomp: seccomp.Available, Landlock: landlock.Version, Namespaces: namespaces, Program: companion.Find}
}

// system is a *kvm.System as the examination wants it.
type system struct{ *kvm.System }

func (s system) CreateVM() error {
	vm, err := s.System.CreateVM()
	if err != nil {
		return err
	}
	return vm.Close()
}

func open(path string) (KVM, error) {
	s, err := kvm.Open(path)
	if err != nil {
		return nil, err
	}
	return system{s}, nil
}

func owner(path string) int {
	fi, err := os.Stat(path)
	if err != nil {
		return -1
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Gid)
}

func limit(resource int) (soft, hard uint64, err error) {
	// Go raises the soft limit of open files at its start and lowers it again for children: what is seen here is what a machine gets.
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return 0, 0, err
	}
	return l.Cur, l.Max, nil
}

func access(path string) error { return unix.Access(path, unix.R_OK|unix.W_OK) }

// ioUring asks for a ring without entries, which can't be made: EINVAL then says that one could.
func ioUring() error {
	_, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
	if errno == unix.EINVAL || errno == unix.EFAULT {
		return nil
	}
	return errno
}
