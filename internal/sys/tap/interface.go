package tap

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// MinMTU and MaxMTU bound an Ethernet interface's MTU.
const (
	MinMTU = 68
	MaxMTU = 65535
)

// setUp gives the interface its MTU and its bridge, and sets it up. What is so
// already needs no privilege.
func (t *Tap) setUp(c Config) error {
	s, err := control()
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if c.MTU != 0 {
		err = t.setMTU(s, c.MTU)
	} else {
		t.mtu, err = mtuOf(s, t.name)
	}
	if err != nil {
		return err
	}
	if c.Bridge != "" {
		if err := t.join(s, c.Bridge); err != nil {
			return err
		}
	}
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("tap %s: %w", t.name, err)
	}
	if ifr.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return t.denied("set it up (ip link set "+t.name+" up)", err)
	}
	return nil
}

func control() (int, error) {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("tap: a socket to configure interfaces with: %w", err)
	}
	return s, nil
}

func (t *Tap) setMTU(s, mtu int) error {
	if mtu < MinMTU || mtu > MaxMTU {
		return fmt.Errorf("tap %s: an MTU of %d; it has %d to %d bytes", t.name, mtu, MinMTU, MaxMTU)
	}
	t.mtu = mtu
	if now, err := mtuOf(s, t.name); err == nil && now == mtu {
		return nil
	}
	ifr, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	ifr.SetUint32(uint32(mtu))
	if err := unix.IoctlIfreq(s, unix.SIOCSIFMTU, ifr); err != nil {
		return t.denied(fmt.Sprintf("give it an MTU of %d", mtu), err)
	}
	return nil
}

// MTU is the interface's, in bytes: what Open found or set.
func (t *Tap) MTU() (int, error) {
	if t.mtu != 0 {
		return t.mtu, nil
	}
	s, err := control()
	if err != nil {
		return 0, err
	}
	defer unix.Close(s)
	return mtuOf(s, t.name)
}

func mtuOf(s int, name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFMTU, ifr); err != nil {
		return 0, fmt.Errorf("tap %s: its MTU: %w", name, err)
	}
	return int(ifr.Uint32()), nil
}

// checkBridge finds out that there is a bridge of that name. Nobody needs a
// privilege for that, so it is said before one is asked for; and what SIOCBRADDIF
// returns for another interface is its driver's choice.
func checkBridge(name string) error {
	if err := checkName("bridge", name); err != nil {
		return err
	}
	s, err := control()
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if _, err := index(s, name); errors.Is(err, unix.ENODEV) {
		return errNoInterface(name)
	} else if err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	info, err := unix.IoctlGetEthtoolDrvinfo(s, name)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return errNoBridge(name, "")
	case err != nil:
		return nil // the bridge itself will say
	case unix.ByteSliceToString(info.Driver[:]) != "bridge":
		return errNoBridge(name, unix.ByteSliceToString(info.Driver[:]))
	}
	return nil
}

func errNoInterface(bridge string) error {
	return fmt.Errorf("bridge %s: there is none; make it: ip link add %s type bridge && ip link set %s up", bridge, bridge, bridge)
}

func errNoBridge(name, driver string) error {
	if driver != "" {
		driver = " (its driver is " + driver + ")"
	}
	return fmt.Errorf("bridge %s: that interface is no bridge%s; name one that is (ip link show type bridge lists them)", name, driver)
}

// join puts the tap under a bridge.
func (t *Tap) join(s int, bridge string) error {
	if at, err := os.Readlink("/sys/class/net/" + t.name + "/brport/bridge"); err == nil {
		if now := filepath.Base(at); now != bridge {
			return fmt.Errorf("tap %s is under the bridge %s, not %s; take it out first: ip link set %s nomaster", t.name, now, bridge, t.name)
		}
		return nil
	}
	tap, err := index(s, t.name)
	if err != nil {
		return fmt.Errorf("tap %s: %w", t.name, err)
	}
	var req struct { // struct ifreq with ifr_ifindex
		name  [unix.IFNAMSIZ]byte
		index int32
		_     [20]byte
	}
	copy(req.name[:], bridge)
	req.index = tap
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCBRADDIF, uintptr(unsafe.Pointer(&req)))
	switch e {
	case 0:
		return nil
	case unix.ENODEV:
		return errNoInterface(bridge)
	case unix.EOPNOTSUPP, unix.EINVAL:
		return errNoBridge(bridge, "")
	}
	return t.denied("put it under the bridge "+bridge, e)
}

func index(s int, name string) (int32, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, err
	}
	return int32(ifr.Uint32()), nil
}

func openError(err error) error {
	do := ""
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV):
		do = "; load the module: modprobe tun"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		do = "; give this user the right to read and write it"
	}
	return fmt.Errorf("%s: %w%s", device, err, do)
}

func (t *Tap) attachError(err error, multi bool, i int) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return t.denied("attach to it", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tap %s is in use by another program; give this machine a tap of its own", t.name)
	case errors.Is(err, unix.E2BIG):
		return fmt.Errorf("tap %s: another program holds some of its queues; only %d of those asked for are left", t.name, i)
	case errors.Is(err, unix.EINVAL) && multi:
		return fmt.Errorf("tap %s exists and has one queue, or is no tap; make it with several: ip tuntap add %s mode tap multi_queue vnet_hdr", t.name, t.name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("tap %s: an interface of that name exists and is no tap", t.name)
	}
	return fmt.Errorf("tap %s: %w", t.name, err)
}

// denied says what a person without the right to do something can do.
func (t *Tap) denied(what string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("tap %s: no right to %s: %w; run as root, give the program CAP_NET_ADMIN (setcap cap_net_admin+ep), "+
			"let root make a tap for you (ip tuntap add %s mode tap vnet_hdr user $USER; ip link set %s up), or use the user network, which needs no privilege",
			t.name, what, err, t.name, t.name)
	}
	return fmt.Errorf("tap %s: cannot %s: %w", t.name, what, err)
}
