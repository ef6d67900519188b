package devices

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

// ifconfig gives an interface of the host an address and lets it run.
func ifconfig(t testing.TB, name, prefix string) {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, r := range []struct {
		request uint
		addr    []byte
	}{{unix.SIOCSIFADDR, p.Addr().AsSlice()}, {unix.SIOCSIFNETMASK, net.CIDRMask(p.Bits(), 32)}, {unix.SIOCSIFFLAGS, nil}} {
		q, err := unix.NewIfreq(name)
		if err != nil {
			t.Fatal(err)
		}
		if r.addr != nil {
			q.SetInet4Addr(r.addr)
		} else {
			q.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		}
		if err := unix.IoctlIfreq(fd, r.request, q); err != nil {
			t.Fatalf("%s %s: %v", name, prefix, err)
		}
	}
}

// deleteLink is what "ip link delete" does: RTM_DELLINK with struct ifinfomsg
// (linux/rtnetlink.h), which has the index at its byte 4.
func deleteLink(t testing.TB, name string) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	m := make([]byte, 32)
	binary.LittleEndian.PutUint32(m[0:], uint32(len(m)))
	binary.LittleEndian.PutUint16(m[4:], unix.RTM_DELLINK)
	binary.LittleEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.LittleEndian.PutUint32(m[16+4:], uint32(i.Index))
	if err := unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil || n < 20 {
		t.Fatal(n, err)
	}
	if e := int32(binary.LittleEndian.Uint32(answer[16:])); e != 0 {
		t.Fatalf("delete %s: %v", name, unix.Errno(-e))
	}
}

// halfCloser is a connection whose sending half can be closed alone.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// talk is the host's half of the guest's mode=both: it sends n bytes of the
// pattern seed+1 and wants n bytes of the pattern seed, at the same time, both to
// their ends.
func talk(t testing.TB, conn halfCloser, seed uint64, n int) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	var sent error
	var w sync.WaitGroup
	w.Go(func() { sent = send(conn, seed+1, n) })
	got, err := receive(conn, seed)
	w.Wait()
	if err := errors.Join(err, sent); err != nil || got != n {
		t.Errorf("%d of %d bytes came: %v", got, n, err)
	}
}

func send(c halfCloser, seed uint64, n int) error {
	buf := make([]byte, 64*kib)
	for at := 0; at < n; {
		p := buf[:min(len(buf), n-at)]
		ask.Fill(p, seed, uint64(at))
		m, err := c.Write(p)
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", at+m, err)
		}
		at += m
	}
	return c.CloseWrite()
}

func receive(c io.Reader, seed uint64) (at int, err error) {
	buf := make([]byte, 64*kib)
	for {
		n, err := c.Read(buf)
		if bad := ask.Mismatch(buf[:n], seed, uint64(at)); bad >= 0 {
			return at, fmt.Errorf("byte %d is not what was sent", bad)
		}
		at += n
		if err == io.EOF {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}

// bothWays lets the guest connect to us at addr, and us to the guest, and moves n
// bytes each way over both connections at the same time.
func bothWays(t testing.TB, g *guest, host, guestAddr string, n int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	length := fmt.Sprintf("len=%d", n)
	out := g.begin("dial", "net=tcp", "addr="+l.Addr().String(), "mode=both", "seed=10", length)
	in := g.begin("serve", "net=tcp", "port=7", "mode=both", "seed=20", length)
	g.says("serving 7\n")
	var w sync.WaitGroup
	w.Go(func() {
		l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		talk(t, c.(halfCloser), 10, n)
	})
	w.Go(func() {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(guestAddr, "7"), patience)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		talk(t, c.(halfCloser), 20, n)
	})
	w.Wait()
	for seed, q := range map[uint64]question{11: out, 21: in} {
		if got := q.values(); got["sha256"] != sum(seed, 0, n) {
			t.Errorf("the guest received %s bytes with SHA-256 %s, want %d with %s", got["bytes"], got["sha256"], n, sum(seed, 0, n))
		}
	}
	g.out.Forget()
}

// pingGuest sends the guest echo requests of that size and wants them back.
func pingGuest(t testing.TB, addr string, size, count int) {
	t.Helper()
	c, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	to := &net.IPAddr{IP: net.ParseIP(addr)}
	buf := make([]byte, 64*kib)
	for seq := range count {
		m := make([]byte, 8+size)
		m[0] = 8 // echo request
		binary.BigEndian.PutUint16(m[4:], uint16(os.Getpid()))
		binary.BigEndian.PutUint16(m[6:], uint16(seq))
		ask.Fill(m[8:], uint64(seq), 0)
		total := uint32(0)
		for i := 0; i+1 < len(m); i += 2 {
			total += uint32(binary.BigEndian.Uint16(m[i:]))
		}
		for total>>16 != 0 {
			total = total&0xFFFF + total>>16
		}
		binary.BigEndian.PutUint16(m[2:], ^uint16(total))
		if _, err := c.WriteTo(m, to); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				t.Errorf("no answer to echo request %d of %d bytes: %v", seq, size, err)
				return
			}
			if n == len(m) && buf[0] == 0 && string(buf[4:n]) == string(m[4:]) {
				break
			}
		}
	}
}

// quoted is for messages.
func quoted(v map[string]string) string { return strings.ReplaceAll(fmt.Sprint(v), "map", "") }
