package vnet_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

var sizes = []int{64, 1514, 65000}

// flood keeps the guest's receive queue under fire from n threads of the host.
func flood(b *testing.B, w *wire, size int) (stop func()) {
	f := frame(size, 1)
	quit := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var iov [64]unix.Iovec
		var msgs [64]struct {
			h unix.Msghdr
			n uint32
			_ uint32
		}
		for i := range msgs {
			iov[i] = unix.Iovec{Base: &f[0], Len: uint64(len(f))}
			msgs[i].h.Iov, msgs[i].h.Iovlen = &iov[i], 1
		}
		fd := int(w.f.Fd())
		for {
			select {
			case <-quit:
				return
			default:
			}
			unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), 0, 0, 0)
		}
	}()
	return func() { close(quit); <-done }
}

// BenchmarkTransmit: the guest sends; the host's side throws away.
func BenchmarkTransmit(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			dev, w := openTap(b, vnet.Config{MTU: 65500})
			w.f.Close()
			d := virtiotest.New(b, dev, virtiotest.Options{})
			transmit(b, d, size)
		})
	}
}

func transmit(b *testing.B, d *virtiotest.Driver, size int) {
	tx := d.Queue(1)
	var idle []*virtiotest.Request
	for range 128 {
		idle = append(idle, tx.Prepare([][]byte{withHeader(frame(size, 1))}, nil))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	for sent, done := 0, 0; done < b.N; {
		for len(idle) > 0 && sent < b.N {
			tx.Submit(idle[len(idle)-1])
			idle = idle[:len(idle)-1]
			sent++
		}
		tx.Kick()
		r := tx.Poll()
		if r == nil {
			runtime.Gosched()
			continue
		}
		for ; r != nil; r = tx.Poll() {
			idle = append(idle, r)
			done++
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// BenchmarkReceive: the host sends as fast as it can.
func BenchmarkReceive(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			dev, w := openTap(b, vnet.Config{MTU: 65500})
			d := virtiotest.New(b, dev, virtiotest.Options{})
			stop := flood(b, w, size)
			defer stop()
			receive(b, d, dev, size)
		})
	}
}

func receive(b *testing.B, d *virtiotest.Driver, dev *vnet.Device, size int) {
	rx := d.Queue(0)
	var idle []*virtiotest.Request
	for range rx.Size() {
		idle = append(idle, rx.Prepare(nil, []int{2048}))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	before := dev.Stats().RxFrames
	for dev.Stats().RxFrames-before < uint64(b.N) {
		for _, r := range idle {
			rx.Submit(r)
		}
		idle = idle[:0]
		rx.Kick()
		r := rx.Poll()
		if r == nil {
			runtime.Gosched()
			continue
		}
		for ; r != nil; r = rx.Poll() {
			idle = append(idle, r)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	s := dev.Stats()
	b.ReportMetric(float64(s.RxDropped), "dropped")
}

// BenchmarkRoundTrip is a frame to the host and its answer: latency, by how long
// the card looks for more before it sleeps. The driver waits for interrupts, as an
// idle guest does.
func BenchmarkRoundTrip(b *testing.B) {
	for _, spin := range []time.Duration{0, 10 * time.Microsecond, 50 * time.Microsecond, 200 * time.Microsecond} {
		b.Run(fmt.Sprint(spin), func(b *testing.B) { roundTrip(b, spin) })
	}
}

func roundTrip(b *testing.B, spin time.Duration) {
	dev, w := openTap(b, vnet.Config{})
	dev.SetSpin(spin)
	d := virtiotest.New(b, dev, virtiotest.Options{})
	fd := int(w.f.Fd())
	unix.SetNonblock(fd, false)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.EINTR { // Go's scheduler, while the socket has a timeout
				continue
			}
			if err != nil {
				return
			}
			unix.Write(fd, buf[:n])
		}
	}()
	tx, rx := d.Queue(1), d.Queue(0)
	out := tx.Prepare([][]byte{withHeader(frame(64, 1))}, nil)
	in := rx.Prepare(nil, []int{2048})
	cpu := benchCPU()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		rx.Submit(in)
		rx.Kick()
		tx.Submit(out)
		tx.Kick()
		rx.Wait()
		if out.Done() {
			continue
		}
		tx.Wait()
	}
	b.StopTimer()
	b.ReportMetric(float64(benchCPU()-cpu)/float64(b.N), "cpu-ns/op")
	<-done
}

func benchCPU() time.Duration {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkStream is transmit over a socket whose far end throws away.
func BenchmarkStream(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%d", size), func(b *testing.B) {
			dev, far := openStream(b, vnet.Config{})
			go func() {
				buf := make([]byte, 1<<20)
				for {
					if _, err := far.Read(buf); err != nil {
						return
					}
				}
			}()
			d := virtiotest.New(b, dev, virtiotest.Options{})
			transmit(b, d, size)
		})
	}
}

// openStream makes a card on a socket, and gives the far end.
func openStream(t testing.TB, c vnet.Config) (*vnet.Device, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.FDs = fds[:1]
	dev, err := vnet.New(c)
	if err != nil {
		t.Fatal(err)
	}
	far := os.NewFile(uintptr(fds[1]), "far end")
	t.Cleanup(func() { dev.Close(); far.Close() })
	return dev, far
}

func TestHotPathsAllocateNothing(t *testing.T) {
	dev, w := openTap(t, vnet.Config{})
	d := virtiotest.New(t, dev, virtiotest.Options{})
	tx, rx := d.Queue(1), d.Queue(0)
	out := tx.Prepare([][]byte{withHeader(frame(64, 1))}, nil)
	in := rx.Prepare(nil, []int{2048})
	fd := int(w.f.Fd())
	f := frame(100, 1)
	round := func() {
		rx.Submit(in)
		rx.Kick()
		unix.Write(fd, f)
		tx.Submit(out)
		tx.Kick()
		for end := time.Now().Add(virtiotest.Deadline); rx.Poll() == nil && time.Now().Before(end); {
			runtime.Gosched()
		}
		for end := time.Now().Add(virtiotest.Deadline); tx.Poll() == nil && time.Now().Before(end); {
			runtime.Gosched()
		}
	}
	round()
	if n := testing.AllocsPerRun(500, round); n > 0 {
		t.Errorf("%v allocations for a frame each way", n)
	}
}
