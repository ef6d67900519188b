// Package netnstest gives tests network namespaces of their own: what they make
// there touches nothing of the host's network and goes with them.
package netnstest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Namespace is a network namespace.
type Namespace struct {
	t  testing.TB
	fd int
}

// New makes a namespace with the loopback interface up and without IPv6. Without the right to, the
// test is skipped.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t, fd: -1}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		n.fd = fd
		// IPv6 sends frames of its own accord.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
		return Up("lo")
	})
	if errors.Is(err, unix.EPERM) {
		t.Skip("no right to make a network namespace (needs root)")
	}
	if err != nil {
		t.Fatalf("network namespace: %v", err)
	}
	t.Cleanup(func() { unix.Close(n.fd) })
	return n
}

// Do runs do in the namespace. Descriptors opened there stay there. do must not
// call t.Fatal: it runs in a goroutine of its own.
func (n *Namespace) Do(do func() error) {
	n.t.Helper()
	err := onThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

// onThread runs do in a thread that ends afterwards, with whatever do changed of
// it.
func onThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		done <- do()
	}()
	return <-done
}

// Up sets an interface up.
func Up(name string) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr)
}
