package process

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pollerFiles are the descriptors of the Go runtime's poller, an epoll instance and an eventfd.
const pollerFiles = 2

// startPoller opens what the Go runtime opens sooner or later in each start: it gives up with a stack trace if it can't.
func startPoller() error {
	var held [pollerFiles]int
	for i := range held {
		fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if errors.Is(err, unix.EBADF) { // no standard error
			fd, err = unix.MemfdCreate("", unix.MFD_CLOEXEC)
		}
		if errors.Is(err, unix.EINVAL) { // the limit is below 3
			err = unix.EMFILE
		}
		if err != nil {
			return fmt.Errorf("the Go runtime's poller: %w", err)
		}
		held[i] = fd
	}
	for _, fd := range held {
		unix.Close(fd)
	}
	time.AfterFunc(time.Hour, func() {}).Stop() // timers start the poller
	return nil
}
