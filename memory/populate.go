package memory

import (
	"errors"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// populate makes every page of b present, which is fresh memory that nobody else
// uses yet. Linux before 5.14 knows no MADV_POPULATE_WRITE and says EINVAL: there
// each page is written to instead. A page that cannot be had then raises SIGBUS,
// which is the same error.
func populate(b []byte, madvise func([]byte, int) error) (err error) {
	if err = madvise(b, unix.MADV_POPULATE_WRITE); !errors.Is(err, unix.EINVAL) {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if _, fault := r.(interface{ Addr() uintptr }); fault {
			err = unix.EFAULT
		} else if r != nil {
			panic(r)
		}
	}()
	for i := 0; i < len(b); i += PageSize {
		b[i] = 0
	}
	return nil
}
