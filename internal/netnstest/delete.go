package netnstest

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Delete deletes an interface of the thread's namespace, by rtnetlink: some
// machines of the tests have no ip(8).
func Delete(name string) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var m [unix.SizeofNlMsghdr + unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], unix.RTM_DELLINK)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(m[unix.SizeofNlMsghdr+4:], ifr.Uint32())
	if err := unix.Sendto(s, m[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var answer [512]byte
	n, err := unix.Read(s, answer[:])
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("%s: an answer of %d bytes", name, n)
	}
	if e := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); e != 0 {
		return fmt.Errorf("delete %s: %w", name, unix.Errno(-e))
	}
	return nil
}
