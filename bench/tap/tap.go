// Package tap makes the taps of the benchmarks, with the calls of the kernel
// alone: the nest has no ip(8).
package tap

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The far end of tap0's link is this computer, or the nest; guests have GuestIP.
const (
	HostIP   = "10.77.0.1"
	HostMAC  = "02:fc:00:00:00:01"
	GuestIP  = "10.77.0.2"
	GuestMAC = "02:fc:00:00:00:02"
)

// Add makes a tap that stays when nobody has it open, in the network namespace
// of the calling thread, and sets it up. With an address the guest's is entered
// beside it, so that nobody asks for it on the line.
func Add(name string, address bool) error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := request(int(f.Fd()), name, unix.TUNSETIFF, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		return nil
	}); err != nil {
		return fmt.Errorf("%s: TUNSETIFF: %w", name, err)
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("%s: TUNSETPERSIST: %w", name, err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if address {
		if err := setAddress(s, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := request(s, name, unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error {
		r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return nil
	}); err != nil {
		return fmt.Errorf("%s: up: %w", name, err)
	}
	if address {
		return addNeighbour(s, name)
	}
	return nil
}

func request(fd int, name string, what uint, fill func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := fill(r); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, what, r)
}

func setAddress(s int, name string) error {
	var r struct { // struct ifreq with a hardware address
		name   [unix.IFNAMSIZ]byte
		family uint16
		mac    [6]byte
		_      [16]byte
	}
	copy(r.name[:unix.IFNAMSIZ-1], name)
	r.family = unix.ARPHRD_ETHER
	mac, err := net.ParseMAC(HostMAC)
	if err != nil {
		return err
	}
	copy(r.mac[:], mac)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&r))); e != 0 {
		return fmt.Errorf("SIOCSIFHWADDR: %w", e)
	}
	for _, a := range []struct {
		what uint
		ip   string
	}{{unix.SIOCSIFADDR, HostIP}, {unix.SIOCSIFNETMASK, "255.255.255.0"}} {
		if err := request(s, name, a.what, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(a.ip).To4()) }); err != nil {
			return fmt.Errorf("address: %w", err)
		}
	}
	return nil
}

// addNeighbour enters the guest's hardware address for good: struct arpreq of
// linux/if_arp.h.
func addNeighbour(s int, name string) error {
	const complete, permanent = 2, 4
	type sockaddr struct {
		family uint16
		data   [14]byte
	}
	var r struct {
		ip, mac sockaddr
		flags   int32
		mask    sockaddr
		dev     [16]byte
	}
	r.ip.family, r.mac.family, r.flags = unix.AF_INET, unix.ARPHRD_ETHER, complete|permanent
	copy(r.ip.data[2:], net.ParseIP(GuestIP).To4())
	mac, err := net.ParseMAC(GuestMAC)
	if err != nil {
		return err
	}
	copy(r.mac.data[:], mac)
	copy(r.dev[:15], name)
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSARP, uintptr(unsafe.Pointer(&r))); e != 0 {
		return fmt.Errorf("%s: SIOCSARP: %w", name, e)
	}
	return nil
}
