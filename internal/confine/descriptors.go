// Package confine takes from a process what it doesn't need: descriptors that
// it inherited, privileges, and resources without limit. Mayfly's programs call
// it at the start of main, before they read anything that is untrusted.
package confine

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstOther is the first descriptor after standard input, output and error.
const firstOther = 3

// MarkCloseOnExec sets close-on-exec for all descriptors but the standard ones,
// so that no child gets what this process inherited. Call it before a descriptor
// is opened without close-on-exec on purpose.
func MarkCloseOnExec() error {
	err := unix.CloseRange(firstOther, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
		return err
	}
	// Before Linux 5.11, or under a seccomp filter that doesn't know the call.
	return eachInherited(func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
		return err
	})
}

// CloseInherited closes all descriptors that this process inherited, but the
// standard ones and those to keep. A program's own are distinguished from them by their
// close-on-exec flag, which the Go runtime and its packages always set.
func CloseInherited(keep ...int) error {
	return eachInherited(func(fd int) error {
		if slices.Contains(keep, fd) {
			return nil
		}
		return unix.Close(fd)
	})
}

// eachInherited calls do for each descriptor without close-on-exec from
// firstOther on.
func eachInherited(do func(fd int) error) error {
	fds, err := open()
	if err != nil {
		return fmt.Errorf("inherited descriptors: %w", err)
	}
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if fd < firstOther || err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		if err := do(fd); err != nil {
			return fmt.Errorf("inherited descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// open lists this process's descriptors. Without /proc, or without a descriptor
// left to read it by, that is all that there can be.
func open() ([]int, error) {
	var fds []int
	names, err := names("/proc/self/fd")
	if err != nil {
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return nil, err
		}
		const most = 1 << 20 // fs.nr_open's default; an unlimited loop would not end
		for fd := firstOther; uint64(fd) < min(l.Max, most); fd++ {
			fds = append(fds, fd)
		}
		return fds, nil
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func names(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}
