package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/bench/tap"
)

// network is a namespace of our own with taps in it: tap0, tap1 … Its stack is
// the other end of their links. It goes when the last who has it open does.
type network struct{ fd int }

// newNetwork makes a network with n taps; the first has an address.
func newNetwork(n int) (*network, error) {
	w := &network{fd: -1}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		done <- w.open(n)
	}()
	if err := <-done; err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *network) open(n int) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("a network namespace: %w", err)
	}
	fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	w.fd = fd
	for i := range n {
		if err := tap.Add(fmt.Sprintf("tap%d", i), i == 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *network) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

// arrived is how many frames came out of tap0 so far.
func (w *network) arrived() (frames uint64, err error) {
	err = monitor.Inside(w.fd, func() error {
		b, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(b)) {
			// name: bytes packets …, received ones first
			if name, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "tap0" {
				_, err = fmt.Sscan(rest, new(uint64), &frames)
				return err
			}
		}
		return errors.New("there is no tap0")
	})
	return frames, err
}

// flood sends frames of size bytes to the guest on tap0, as fast as the tap
// takes them or drops them, until stop is set.
func (w *network) flood(size int, stop *atomic.Bool) error {
	return monitor.Inside(w.fd, func() error {
		// The socket stays in the namespace; so does this thread.
		s, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		card, err := net.InterfaceByName("tap0")
		if err != nil {
			return err
		}
		if err := unix.Bind(s, &unix.SockaddrLinklayer{Protocol: 0, Ifindex: card.Index}); err != nil {
			return err
		}
		unix.SetsockoptInt(s, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1) // older kernels: through the queue discipline
		frame := make([]byte, size)
		copy(frame, []byte{2, 0xfc, 0, 0, 0, 2, 2, 0xfc, 0, 0, 0, 1, 0x88, 0xb5}) // an EtherType for experiments
		return sendMany(s, frame, stop)
	})
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

func sendMany(s int, frame []byte, stop *atomic.Bool) error {
	iov := unix.Iovec{Base: &frame[0]}
	iov.SetLen(len(frame))
	list := make([]mmsghdr, 64)
	for i := range list {
		list[i].hdr.Iov = &iov
		list[i].hdr.SetIovlen(1)
	}
	for !stop.Load() {
		_, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s), uintptr(unsafe.Pointer(&list[0])), uintptr(len(list)), 0, 0, 0)
		if e != 0 && e != unix.ENOBUFS && e != unix.EAGAIN && e != unix.EINTR && e != unix.ENETDOWN {
			return fmt.Errorf("sendmmsg: %w", e)
		}
	}
	runtime.KeepAlive(frame)
	return nil
}
