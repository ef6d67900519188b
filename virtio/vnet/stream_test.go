package vnet_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

func writeFrame(t testing.TB, w io.Writer, f []byte) {
	t.Helper()
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(f))), f...)); err != nil {
		t.Fatal(err)
	}
}

func readFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		t.Fatal(err)
	}
	f := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(r, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestStream(t *testing.T) {
	forms(t, func(t *testing.T, o virtiotest.Options) {
		dev, far := openStream(t, vnet.Config{})
		d := virtiotest.New(t, dev, o)
		rx, tx := d.Queue(0), d.Queue(1)
		if f := d.Features(); f&(vnet.FeatureCSUM|vnet.FeatureGuestTSO4) != 0 {
			t.Fatalf("features %#x: nobody makes checksums there", f)
		}
		for i := range 200 {
			out := frame(14+i*300, i)
			tx.Do([][]byte{make([]byte, 7), make([]byte, 5), out[:5], out[5:]}, nil)
			same(t, readFrame(t, far), out)
			for rx.Pending() < 40 {
				size := 2000
				if !d.Features().Has(vnet.FeatureMergeable) {
					size = 70000
				}
				rx.Add(nil, []int{12, size})
			}
			rx.Kick()
			writeFrame(t, far, out)
			h, got := received(t, rx)
			same(t, got, out)
			same(t, h[:10], make([]byte, 10))
		}
	})
}

// TestStreamFarEndDoesNotRead: the driver waits, nothing piles up, and a stop in
// the middle of a frame loses none of it.
func TestStreamFarEndDoesNotRead(t *testing.T) {
	dev, far := openStream(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	tx := d.Queue(1)
	sent := 0
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	for tx.Pending() < tx.Size() {
		tx.Add([][]byte{withHeader(frame(30000, sent))}, nil)
		tx.Kick()
		sent++
		for tx.Poll() != nil {
		}
	}
	for end := time.Now().Add(virtiotest.Deadline); dev.Stats().TxStalls == 0; {
		if time.Now().After(end) {
			t.Fatal("the card doesn't wait for its far end")
		}
		runtime.Gosched()
	}
	for range 5 {
		d.Pause()
		d.Resume()
	}
	done := make(chan error, 1)
	go func() {
		for i := range sent {
			var n [4]byte
			if _, err := io.ReadFull(far, n[:]); err != nil {
				done <- err
				return
			}
			f := make([]byte, binary.BigEndian.Uint32(n[:]))
			if _, err := io.ReadFull(far, f); err != nil {
				done <- err
				return
			}
			if string(f) != string(frame(30000, i)) {
				done <- fmt.Errorf("frame %d differs", i)
				return
			}
			if i%50 == 7 {
				d.Pause()
				d.Resume()
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestStreamFarEndCloses(t *testing.T) {
	said := make(chan error, 4)
	dev, far := openStream(t, vnet.Config{Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Queue(0).Add(nil, []int{2000})
	d.Queue(0).Kick()
	far.Close()
	d.WaitConfigChanged()
	if d.ReadConfig(6, 1)[0]&1 != 0 {
		t.Error("the link is up")
	}
	t.Log(<-said)
	for range 20 {
		d.Queue(1).Do([][]byte{withHeader(frame(100, 1))}, nil)
	}
	before := cpuTime(t)
	d.Pause()
	d.Resume()
	if used := cpuTime(t) - before; used > 5*time.Second {
		t.Errorf("%v of processor time", used)
	}
}

func cpuTime(t *testing.T) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestStreamReconnects(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dev, err := vnet.New(vnet.Config{Kind: vnet.Passt, Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	d := virtiotest.New(t, dev, virtiotest.Options{})
	for i := range 3 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			linkBecomes(t, d, 1)
		}
		d.Queue(0).Add(nil, []int{2000})
		d.Queue(0).Kick()
		writeFrame(t, c, frame(100, i))
		_, got := received(t, d.Queue(0))
		same(t, got, frame(100, i))
		d.Queue(1).Do([][]byte{withHeader(frame(90, i))}, nil)
		same(t, readFrame(t, c), frame(90, i))
		d.Queue(0).Add(nil, []int{2000})
		d.Queue(0).Kick()
		downs := dev.Stats().LinkChanges
		c.Close()
		for end := time.Now().Add(virtiotest.Deadline); dev.Stats().LinkChanges == downs; {
			if time.Now().After(end) {
				t.Fatal("the link does not go down")
			}
			d.Link().WaitConfig(10 * time.Millisecond)
		}
	}
}

// linkBecomes waits for the link; its changes come as one interrupt if nobody
// looks in between.
func linkBecomes(t *testing.T, d *virtiotest.Driver, up byte) {
	t.Helper()
	for end := time.Now().Add(virtiotest.Deadline); d.ReadConfig(6, 1)[0]&1 != up; {
		if time.Now().After(end) {
			t.Fatalf("the link's state is not %d", up)
		}
		d.Link().WaitConfig(10 * time.Millisecond)
	}
}

func TestStreamOfNonsense(t *testing.T) {
	said := make(chan error, 4)
	dev, far := openStream(t, vnet.Config{Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Queue(0).Add(nil, []int{2000})
	d.Queue(0).Kick()
	io.WriteString(far, "HTTP/1.1 400 Bad Request\r\n\r\n")
	d.WaitConfigChanged()
	if err := <-said; !strings.Contains(err.Error(), "another protocol") {
		t.Error(err)
	}
	if s := d.Instance().Status(); s&virtio.StatusNeedsReset != 0 {
		t.Error("the device needs a reset")
	}
}

// TestStreamStopsWithinAFrame: a reset while a frame from the far end has come in
// part does not lose that part, which would make nonsense of all that follows.
func TestStreamStopsWithinAFrame(t *testing.T) {
	said := make(chan error, 4)
	dev, far := openStream(t, vnet.Config{Report: func(err error) { said <- err }})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	for i, cut := range []int{1, 4, 40} {
		whole := frame(200, i)
		raw := append(binary.BigEndian.AppendUint32(nil, uint32(len(whole))), whole...)
		d.Queue(0).Add(nil, []int{2000})
		d.Queue(0).Add(nil, []int{2000})
		d.Queue(0).Kick()
		// The frame before tells that the card has read so far.
		writeFrame(t, far, frame(100, i))
		if _, err := far.Write(raw[:cut]); err != nil {
			t.Fatal(err)
		}
		_, got := received(t, d.Queue(0))
		same(t, got, frame(100, i))
		waitUnread(t, far)
		if i == 1 {
			d.Pause()
			d.Resume()
		} else {
			d.Reset()
			d.Queue(0).Add(nil, []int{2000})
			d.Queue(0).Kick()
		}
		if _, err := far.Write(raw[cut:]); err != nil {
			t.Fatal(err)
		}
		_, got = received(t, d.Queue(0))
		same(t, got, whole)
	}
	select {
	case err := <-said:
		t.Error(err)
	default:
	}
}

// waitUnread waits until the other end has read all that was written.
func waitUnread(t *testing.T, c *os.File) {
	t.Helper()
	conn, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(virtiotest.Deadline); ; runtime.Gosched() {
		n := -1
		_ = conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d bytes are not read", n)
		}
	}
}
