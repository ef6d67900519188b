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
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set is a set of descriptors. It belongs to one goroutine.
type Set struct {
	fd     int
	file   *os.File
	conn   syscall.RawConn
	armed  int    // descriptor; -1: none
	events uint32 // that it is armed for

	// Of a Wait.
	last   func() bool // Wait's
	looked bool
	wanted bool // Arm was called
	fresh  bool // and had to arm
	err    error
	some   [8]unix.EpollEvent
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
func (s *Set) Add(fd int) error {
	if s.armed == fd { // another file had that number, and was closed
		s.armed = -1
	}
	return s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLET)
}

// Arm makes the Wait that calls it end when fd, and no other that was added, is ready
// for events, EPOLLIN or EPOLLOUT. Who calls it has found that it was not ready.
//
// fd stays armed, so that who waits for it again and again makes no call for that, until
// a Wait without it, or Disarm.
func (s *Set) Arm(fd int, events uint32) error {
	s.wanted = true
	if s.armed == fd && s.events == events {
		return nil
	}
	if err := s.Disarm(); err != nil {
		return err
	}
	s.armed, s.events, s.fresh = fd, events, true
	return s.control(unix.EPOLL_CTL_MOD, fd, events|unix.EPOLLET)
}

// Disarm keeps events of what is armed from waking anybody until it is armed again.
func (s *Set) Disarm() error {
	if s.armed < 0 {
		return nil
	}
	fd := s.armed
	s.armed = -1
	err := s.control(unix.EPOLL_CTL_MOD, fd, unix.EPOLLET)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EBADF) { // somebody has closed it
		return nil
	}
	return err
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
	s.last, s.looked, s.wanted, s.fresh, s.err = last, false, false, false, nil
	err := s.conn.Read(s.try)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	// Arm finds what is there already only if no older event of it is left.
	s.take()
	return errors.Join(err, s.err)
}

// look is called by Go's poller before it waits, and after.
func (s *Set) look(uintptr) bool {
	if s.looked {
		return true
	}
	s.looked = true
	if s.last() {
		return true
	}
	if !s.wanted {
		s.err = s.Disarm()
	}
	// Go's poller has forgotten what came before this Wait. Arm has found it, for what
	// it has just armed.
	return s.err != nil || s.armed >= 0 && !s.fresh && s.take()
}

// take forgets the events so far, and reports whether there were any.
func (s *Set) take() bool {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_WAIT, uintptr(s.fd), uintptr(unsafe.Pointer(&s.some[0])), uintptr(len(s.some)), 0, 0, 0)
	return e == 0 && n > 0
}

// Close takes the set away; the descriptors stay.
func (s *Set) Close() error { return s.file.Close() }
