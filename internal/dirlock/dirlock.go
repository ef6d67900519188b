// Package dirlock serialises programs that replace a file in a directory: between
// the check that its old owner has ended and the new file, nobody else may do the
// same.
package dirlock

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// waitLimit is how long Take waits. Holders need microseconds; who keeps the lock
	// longer, which everybody can who may read the directory, must not keep machines
	// from starting.
	waitLimit = time.Second
	retry     = time.Millisecond
)

// Take locks the directory of path (flock) and returns the function that unlocks it.
// Where the directory cannot be locked, because this user may not read it or
// somebody keeps it locked, the caller goes on without.
func Take(path string) (unlock func()) {
	fd, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(waitLimit); ; time.Sleep(retry) {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			return func() { unix.Close(fd) }
		}
	}
}
