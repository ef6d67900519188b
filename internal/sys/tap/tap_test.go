package tap_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/netnstest"
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
)

func ip(arg ...string) error {
	if out, err := exec.Command("ip", arg...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %v: %s", arg, err, out)
	}
	return nil
}

// open opens a tap in the namespace.
func open(t *testing.T, ns *netnstest.Namespace, c tap.Config) (got *tap.Tap, err error) {
	t.Helper()
	ns.Do(func() error {
		got, err = tap.Open(c)
		return nil
	})
	if err == nil {
		t.Cleanup(func() { got.Close() })
	}
	return got, err
}

func TestOpen(t *testing.T) {
	ns := netnstest.New(t)
	a, err := open(t, ns, tap.Config{MTU: 9000, Queues: 4})
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(t, ns, tap.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if a.Name() != "mayfly0" || b.Name() != "mayfly1" || len(a.Queues()) != 4 {
		t.Errorf("%s, %s, %d queues", a.Name(), b.Name(), len(a.Queues()))
	}
	var mtu int
	ns.Do(func() (err error) { mtu, err = a.MTU(); return err })
	if mtu != 9000 {
		t.Errorf("MTU %d", mtu)
	}
	if o := a.Offloads(); o&(tap.OffloadCSUM|tap.OffloadTSO4|tap.OffloadTSO6) == 0 {
		t.Errorf("offloads %#x", o)
	}
	for _, n := range []int{1, 4, 2, 2} {
		if err := a.SetActive(n); err != nil {
			t.Error(err)
		}
	}
	if a.Gone() {
		t.Error("it is gone")
	}
	ns.Do(func() error { return ip("link", "del", "mayfly0") })
	if !a.Gone() {
		t.Error("it is still there")
	}
}

func TestPersistentAndBridge(t *testing.T) {
	ns := netnstest.New(t)
	ns.Do(func() error {
		return errors.Join(ip("tuntap", "add", "one", "mode", "tap", "vnet_hdr"),
			ip("tuntap", "add", "many", "mode", "tap", "vnet_hdr", "multi_queue"),
			ip("link", "add", "br0", "type", "bridge"), ip("link", "add", "br1", "type", "bridge"))
	})
	for _, name := range []string{"one", "many"} {
		a, err := open(t, ns, tap.Config{Name: name, Bridge: "br0"})
		if err != nil {
			t.Fatal(err)
		}
		var at string
		ns.Do(func() (err error) {
			out, err := exec.Command("ip", "-o", "link", "show", name).Output()
			at = string(out)
			return err
		})
		if !strings.Contains(at, "master br0") || !strings.Contains(at, ",UP") {
			t.Error(at)
		}
		a.Close()
	}
}

func TestErrors(t *testing.T) {
	ns := netnstest.New(t)
	ns.Do(func() error {
		return ip("link", "add", "dummy", "type", "bridge")
	})
	if _, err := open(t, ns, tap.Config{Name: "busy"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		c    tap.Config
		want string
	}{
		{tap.Config{Name: "sixteenletters00"}, "16 bytes"},
		{tap.Config{Name: "a/b"}, "no name"},
		{tap.Config{Name: "busy"}, "in use"},
		{tap.Config{Name: "lo"}, "no tap"},
		{tap.Config{Queues: 300}, "300 queues"},
		{tap.Config{MTU: 10}, "MTU of 10"},
		{tap.Config{Bridge: "none"}, "ip link add none type bridge"},
		{tap.Config{Bridge: "lo"}, "lo: that interface is no bridge"},
		{tap.Config{Bridge: "busy"}, "busy: that interface is no bridge (its driver is tun)"},
		{tap.Config{Name: "busy", Bridge: "lo"}, "lo: that interface is no bridge"}, // said before what takes a privilege
	} {
		_, err := open(t, ns, tc.c)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want %q", tc.c, err, tc.want)
		} else {
			t.Log(err)
		}
	}
}

// TestWithoutPrivilege drops CAP_NET_ADMIN in a thread of its own.
func TestWithoutPrivilege(t *testing.T) {
	ns := netnstest.New(t)
	var got error
	ns.Do(func() error {
		runtime.LockOSThread()
		h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&h, &none[0]); err != nil {
			return err
		}
		_, got = tap.Open(tap.Config{Name: "mine"})
		return nil
	})
	if got == nil || !strings.Contains(got.Error(), "CAP_NET_ADMIN") && !strings.Contains(got.Error(), "give this user the right") {
		t.Error(got)
	}
	t.Log(got)
}

func TestFromFDs(t *testing.T) {
	ns := netnstest.New(t)
	a, err := open(t, ns, tap.Config{Name: "given", Queues: 2})
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, q := range a.Queues() {
		fd, err := unix.Dup(q.FD())
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	b, err := tap.FromFDs(fds)
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != "given" || len(b.Queues()) != 2 {
		t.Errorf("%s, %d", b.Name(), len(b.Queues()))
	}
	b.Close()
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tap.FromFDs([]int{null}); err == nil || !strings.Contains(err.Error(), "no tap") {
		t.Error(err)
	}
}

// BenchmarkOpen is what a card adds to a machine's start.
func BenchmarkOpen(b *testing.B) {
	ns := netnstest.New(b)
	ns.Do(func() error {
		if err := ip("tuntap", "add", "there", "mode", "tap", "vnet_hdr"); err != nil {
			return err
		}
		for _, name := range []string{"there", ""} {
			b.Run(name, func(b *testing.B) {
				runtime.LockOSThread()
				for range b.N {
					t, err := tap.Open(tap.Config{Name: name})
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					t.Close()
					b.StartTimer()
				}
			})
		}
		return nil
	})
}
