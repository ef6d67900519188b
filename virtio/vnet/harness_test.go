package vnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/netnstest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

const headerSize = 12

// wire is the host's side of a tap: all frames that the guest sends, and a way to
// send it some, below any network protocol.
type wire struct {
	t    testing.TB
	ns   *netnstest.Namespace
	name string
	f    *os.File
}

// etherType of the tests' frames: IEEE 802's local experimental type.
const etherType = 0x88b5

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// openTap makes a card on a tap in a namespace of its own, and the wire.
func openTap(t testing.TB, c vnet.Config) (*vnet.Device, *wire) {
	t.Helper()
	w := &wire{t: t, ns: netnstest.New(t)}
	if c.VHost == "" {
		c.VHost = vnet.VHostOff
	}
	c.Kind = vnet.Tap
	var d *vnet.Device
	w.ns.Do(func() (err error) {
		if d, err = vnet.New(c); err != nil {
			return err
		}
		w.name = d.TapName()
		w.f, err = packetSocket(w.name)
		return err
	})
	t.Cleanup(func() { d.Close(); w.f.Close() })
	return d, w
}

func packetSocket(name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s, _ := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	defer unix.Close(s)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	if err := unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr); err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: int(ifr.Uint32())}); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "packet socket"), nil
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	if _, err := w.f.Write(frame); err != nil {
		w.t.Fatalf("send to the guest: %v", err)
	}
}

// recv is the next frame from the guest.
func (w *wire) recv() []byte {
	w.t.Helper()
	b := make([]byte, 70000)
	w.f.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := w.f.Read(b)
	if err != nil {
		w.t.Fatalf("no frame from the guest: %v", err)
	}
	return b[:n]
}

func (w *wire) silent() error {
	b := make([]byte, 70000)
	w.f.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := w.f.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a frame of %d bytes came (%v)", n, err)
	}
	return nil
}

// frame is one of n bytes that tells its number.
func frame(n, number int) []byte {
	f := make([]byte, n)
	copy(f, []byte{0x02, 1, 2, 3, 4, 5, 0x02, 9, 9, 9, 9, 9, etherType >> 8, etherType & 0xff})
	for i := 14; i < n; i++ {
		f[i] = byte(i*7 + number)
	}
	if n >= 18 {
		binary.BigEndian.PutUint32(f[14:], uint32(number))
	}
	return f
}

// withHeader puts an empty header in front.
func withHeader(f []byte) []byte { return append(make([]byte, headerSize), f...) }

func same(t testing.TB, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes %.40x…, want %d bytes %.40x…", len(got), got, len(want), want)
	}
}
