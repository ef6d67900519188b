// Package epoll is Linux's epoll(7) for a goroutine that waits for several
// descriptors at once: the kernel makes one of them, and Go's poller waits for
// that. A wait costs a sleeping goroutine, not a thread.
package epoll

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Set is a set of descriptors. It belongs to one goroutine.
type Set struct {
	fd    int
	file  *os.File
	conn  syscall.RawConn
	armed int // descriptor; -1: none

	last   func() bool // Wait's
	looked bool
	try    func(uintptr) bool
}

// New makes an empty one.
func New() (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // without it os.NewFile leaves the poller out
		unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	s := &Set{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), armed: -1}
	s.try = s.look
	if s.conn, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return s, nil
}

// Watch adds an eventfd: each signal ends a Wait. Nobody needs to take its count.
func (s *Set) Watch(fd int) error {
	return s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLET)
}

// Add adds a descriptor that counts only while a Wait has it armed.
func (s *Set) Add(fd int) error { return s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLET) }

// Arm makes the Wait that calls it end when fd, and no other that was added, is ready
// for events, EPOLLIN or EPOLLOUT. For the rest of the time fd's events wake nobody.
func (s *Set) Arm(fd int, events uint32) error {
	s.armed = fd
	return s.control(unix.EPOLL_CTL_MOD, fd, events|unix.EPOLLET)
}

func (s *Set) control(op, fd int, events uint32) error {
	for {
		e := unix.EpollEvent{Events: events, Fd: int32(fd)}
		err := unix.EpollCtl(s.fd, op, fd, &e)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return fmt.Errorf("epoll: descriptor %d: %w", fd, err)
		}
	}
}

// Wait calls last and, if that returns false, waits for an event or until the
// given time; zero: for ever. Events since last was called count: it can ask for
// them and then look whether they would come too late. A Wait may end for nothing.
func (s *Set) Wait(last func() bool, until time.Time) error {
	if !until.IsZero() {
		if err := s.file.SetReadDeadline(until); err != nil {
			return err
		}
		defer s.file.SetReadDeadline(time.Time{})
	}
	s.last, s.looked = last, false
	err := s.conn.Read(s.try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	if s.armed >= 0 {
		// Somebody may have closed it meanwhile.
		if e := s.control(unix.EPOLL_CTL_MOD, s.armed, unix.EPOLLET); e != nil && !errors.Is(e, unix.ENOENT) && !errors.Is(e, unix.EBADF) {
			err = errors.Join(err, e)
		}
		s.armed = -1
	}
	// Arm tells of what is there already only if no older event of it is left.
	var events [8]unix.EpollEvent
	_, _ = unix.EpollWait(s.fd, events[:], 0)
	return err
}

// look is called by Go's poller before it waits, and after.
func (s *Set) look(uintptr) bool {
	if s.looked {
		return true
	}
	s.looked = true
	return s.last()
}

// Close takes the set away; the descriptors stay.
func (s *Set) Close() error { return s.file.Close() }
