// Package landlock takes the rights to files and TCP ports from all threads of this
// process, for good (Linux, Documentation/userspace-api/landlock.rst). What is open
// already stays usable. MPTCP and UDP stay as they are: a filter of package seccomp is
// what denies sockets.
package landlock

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules are what stays allowed.
type Rules struct {
	Remove []int    // descriptors of directories from which files may be removed
	Read   []string // paths of files that may be read, and of directories in which all files may be; those that don't exist are left out
	// Scope also takes the rights to connect to abstract Unix sockets, and to signal processes,
	// that are not of this process. Before Linux 6.15 threads of one process are then strangers
	// to one another, so it is left out there.
	Scope bool
	// Network leaves TCP alone.
	Network bool
}

// Rights to files by the version of the interface that knows them first.
const (
	rightsV1 = 1<<13 - 1 // EXECUTE to MAKE_SYM
	rightsV2 = rightsV1 | unix.LANDLOCK_ACCESS_FS_REFER
	rightsV3 = rightsV2 | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	rightsV5 = rightsV3 | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	networkV4 = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	scopesV6  = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
)

// version of the interface from which on a process is one domain for signals whatever
// thread they come from.
const versionOfScope = 7

// ErrUnsupported is the error of a kernel without Landlock, or with Landlock disabled.
var ErrUnsupported = errors.New("the host's kernel has no Landlock, or it is not enabled there")

// Version is that of the kernel's interface ("ABI"), 1 or more; 0: there is none.
func Version() int {
	v, _, e := syscall.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// Scopes tells whether that version knows Rules.Scope.
func Scopes(version int) bool { return version >= versionOfScope }

// attr is the ruleset for a version of the interface, and the size of it that the version
// knows.
func (r *Rules) attr(version int) (a unix.LandlockRulesetAttr, size uintptr) {
	switch {
	case version >= 5:
		a.Handled_access_fs = rightsV5
	case version >= 3:
		a.Handled_access_fs = rightsV3
	case version >= 2:
		a.Handled_access_fs = rightsV2
	default:
		a.Handled_access_fs = rightsV1
	}
	size = unsafe.Sizeof(a.Handled_access_fs)
	if version >= 4 {
		if !r.Network {
			a.Handled_access_net = networkV4
		}
		size += unsafe.Sizeof(a.Handled_access_net)
	}
	if version >= 6 {
		if r.Scope && Scopes(version) {
			a.Scoped = scopesV6
		}
		size += unsafe.Sizeof(a.Scoped)
	}
	return a, size
}

// Ruleset is what Enforce leaves allowed.
type Ruleset struct{ fd int }

// New makes a ruleset. version is what Version has returned. The error is ErrUnsupported for
// version 0.
func New(version int, rules Rules) (*Ruleset, error) {
	if version == 0 {
		return nil, ErrUnsupported
	}
	a, size := rules.attr(version)
	fd, _, e := syscall.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&a)), size, 0)
	if e != 0 {
		return nil, os.NewSyscallError("landlock_create_ruleset", e)
	}
	r := &Ruleset{int(fd)}
	if err := r.allow(&rules); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Ruleset) allow(rules *Rules) error {
	for _, dir := range rules.Remove {
		if err := r.add(dir, unix.LANDLOCK_ACCESS_FS_REMOVE_FILE); err != nil {
			return err
		}
	}
	for _, path := range rules.Read {
		if err := r.addReadable(path); err != nil {
			return err
		}
	}
	return nil
}

// Enforce takes all other rights from all threads. They must have no_new_privs, or be
// privileged.
func (r *Ruleset) Enforce() error {
	if _, _, e := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0); e != 0 {
		return os.NewSyscallError("landlock_restrict_self", e)
	}
	return nil
}

// Close closes the ruleset. What it enforces stays.
func (r *Ruleset) Close() { _ = unix.Close(r.fd) }

func (r *Ruleset) addReadable(path string) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	rights := uint64(unix.LANDLOCK_ACCESS_FS_READ_FILE)
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		rights |= unix.LANDLOCK_ACCESS_FS_READ_DIR
	}
	return r.add(fd, rights)
}

// add allows rights beneath what fd, a file or directory, is.
func (r *Ruleset) add(fd int, rights uint64) error {
	// struct landlock_path_beneath_attr is packed: 12 bytes, of which Go's has 16.
	a := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, e := syscall.RawSyscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&a)), 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("landlock_add_rule for descriptor %d: %w", fd, e)
	}
	return nil
}
