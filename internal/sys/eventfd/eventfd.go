// Package eventfd is Linux's eventfd(2): a counter in the kernel that one side
// signals and the other waits for. A wait costs a sleeping goroutine, not a
// thread.
package eventfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FD is an eventfd. Signal may be called by several goroutines; Wait by one.
type FD struct {
	fd   int
	file *os.File
	buf  [8]byte // Wait's

	mu     sync.RWMutex // Close waits for who writes: the descriptor's number is another file's soon
	closed bool
}

var one = binary.NativeEndian.AppendUint64(nil, 1)

// New makes an eventfd with a count of 0. It is non-blocking and closed on exec.
func New() (*FD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &FD{fd: fd, file: os.NewFile(uintptr(fd), "eventfd")}, nil
}

// FD is the descriptor, for KVM, vhost and io_uring. It stays the FD's own.
func (e *FD) FD() int { return e.fd }

// Signal adds one to the count and wakes who waits. It never blocks. After Close
// it does nothing.
func (e *FD) Signal() {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if !e.closed {
		Signal(e.fd)
	}
}

// Signal is FD.Signal for who has the descriptor alone, and knows that it is open.
func Signal(fd int) { _, _ = unix.Write(fd, one) }

// Clear sets the count to 0 and tells whether it was more.
func (e *FD) Clear() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.closed {
		return false
	}
	var count uint64
	// Raw, as it never waits; and unix.Read would have the count on the heap when the race detector is there.
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(e.fd), uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
	return errno == 0 && n == unsafe.Sizeof(count)
}

// Wait returns when the count is more than 0, and sets it to 0. The error is
// os.ErrClosed after Close.
func (e *FD) Wait() error {
	_, err := e.file.Read(e.buf[:])
	return err
}

// WaitUntil is Wait until a time, after which it returns nil too. Zero: for ever.
func (e *FD) WaitUntil(t time.Time) error {
	if t.IsZero() {
		return e.Wait()
	}
	err := e.file.SetReadDeadline(t)
	if err == nil {
		err = e.Wait()
		_ = e.file.SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// WaitFor is Wait for no longer than d: the error is then os.ErrDeadlineExceeded.
func (e *FD) WaitFor(d time.Duration) error {
	if err := e.file.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	err := e.Wait()
	_ = e.file.SetReadDeadline(time.Time{})
	return err
}

// Close ends a Wait with os.ErrClosed.
func (e *FD) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return e.file.Close()
}
