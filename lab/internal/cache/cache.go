// Package cache keeps what the lab has made: one directory for all processes,
// filled by one at a time.
package cache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir returns the directory of the cache: MAYFLY_LAB_CACHE, else mayfly-lab in
// the user's cache directory. It holds
//
//	dl/             Debian's packages as downloaded
//	kernels/NAME/   one kernel each (lab/kernels)
//	images/NAME/    one disk image each (lab/images)
//	build/          the source tree in which the small kernels are built
//	bin/            programs built for the lab
func Dir() (string, error) {
	if d := os.Getenv("MAYFLY_LAB_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("lab: no cache directory: %w; set MAYFLY_LAB_CACHE", err)
	}
	return filepath.Join(d, "mayfly-lab"), nil
}

// Lock keeps two processes from filling the cache at once, and says so
// when it has to wait. The caller unlocks by calling the result.
func Lock(cache string, progress io.Writer) (func(), error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		fmt.Fprintf(progress, "lab: waiting for another process that fills the cache %s\n", cache)
	}
	for err != nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lab: lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// Replace puts the finished directory tmp in the place of dir. Who makes things
// makes them in a directory of another name first, so that a crash leaves no half
// of one.
func Replace(tmp, dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}
