package process

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec replaces this program by the one at path, with this one's arguments and environment. The program inherits the
// descriptors. Exec returns only with an error.
func Exec(path string, descriptors []int) error {
	for _, fd := range descriptors {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return err
		}
	}
	return syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
}

// ReplaceStdin makes data what is read from standard input from now on.
func ReplaceStdin(data []byte) error {
	f, err := MemoryFile("standard input", data)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, 0); err != nil {
		return err
	}
	return unix.Dup3(int(f.Fd()), 0, 0)
}

// Descriptor is the open descriptor of this process that a path names, such as /dev/fd/3; -1: none.
func Descriptor(path string) int {
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, ok := strings.CutPrefix(path, dir); ok {
			fd, err := strconv.Atoi(number)
			if err != nil {
				return -1
			}
			if _, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
				return fd
			}
		}
	}
	return -1
}
