package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/bench/monitor"
)

// The tap's end of the link; guest/bench has 10.77.0.2 and monitor.MAC.
const (
	hostAddr = "10.77.0.1/24"
	guestIP  = "10.77.0.2"
	hostMAC  = "02:fc:00:00:00:01"
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
		if err := w.addTap(fmt.Sprintf("tap%d", i)); err != nil {
			return fmt.Errorf("tap%d: %w", i, err)
		}
	}
	commands := []string{"ip link set tap0 address " + hostMAC, "ip addr add " + hostAddr + " dev tap0",
		"ip neigh replace " + guestIP + " lladdr " + monitor.MAC + " dev tap0 nud permanent"}
	for _, c := range commands {
		f := strings.Fields(c)
		if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w %s", c, err, out)
		}
	}
	return nil
}

// addTap makes a tap that stays when nobody has it open, and sets it up.
func (w *network) addTap(name string) error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(int(f.Fd()), unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("TUNSETPERSIST: %w", err)
	}
	out, err := exec.Command("ip", "link", "set", name, "up").CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip link set up: %w %s", err, out)
	}
	return nil
}

func (w *network) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
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
		tap, err := net.InterfaceByName("tap0")
		if err != nil {
			return err
		}
		if err := unix.Bind(s, &unix.SockaddrLinklayer{Protocol: 0, Ifindex: tap.Index}); err != nil {
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
