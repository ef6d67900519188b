package usernet

import (
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// bufferSize is what is moved at once; a UDP datagram needs more.
const (
	bufferSize   = 16 << 10
	datagramSize = 64 << 10
)

// Buffers are taken when there is something to move: a connection that waits has
// none.
var (
	buffers         = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	datagramBuffers = sync.Pool{New: func() any { return new([datagramSize]byte) }}
)

func takeBuffer() *[bufferSize]byte     { return buffers.Get().(*[bufferSize]byte) }
func putBuffer(b *[bufferSize]byte)     { buffers.Put(b) }
func takeDatagram() *[datagramSize]byte { return datagramBuffers.Get().(*[datagramSize]byte) }
func putDatagram(b *[datagramSize]byte) { datagramBuffers.Put(b) }

// receive waits for data of a stream and returns a buffer with n bytes of it, at
// most size; the caller gives the buffer back. With n 0 or an error there is none.
func receive(raw syscall.RawConn, size int) (buf *[bufferSize]byte, n int, err error) {
	wait := raw.Read(func(fd uintptr) bool {
		buf = takeBuffer()
		if n, err = readNow(fd, buf[:size]); n > 0 {
			return true
		}
		putBuffer(buf)
		return err != unix.EAGAIN
	})
	if wait != nil {
		return nil, 0, wait
	}
	return buf, n, err
}

// receiveDatagram waits for a datagram on a connected socket and hands it to use,
// which must not keep it.
func receiveDatagram(raw syscall.RawConn, use func([]byte)) error {
	var n int
	var err error
	wait := raw.Read(func(fd uintptr) bool {
		buf := takeDatagram()
		defer putDatagram(buf)
		if n, err = readNow(fd, buf[:]); err == nil {
			use(buf[:n])
			return true
		}
		return err != unix.EAGAIN
	})
	if wait != nil {
		return wait
	}
	return err
}

// awaitWritable waits until a stream takes data.
func awaitWritable(raw syscall.RawConn) error {
	return raw.Write(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(p, 0)
		return n > 0 || err != nil
	})
}

func readNow(fd uintptr, p []byte) (n int, err error) {
	for {
		if n, err = unix.Read(int(fd), p); err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// sendDatagram sends without waiting: what the host has no room for is lost, as a
// network loses it. to is nil on a connected socket.
func sendDatagram(raw syscall.RawConn, p []byte, to unix.Sockaddr) {
	_ = raw.Write(func(fd uintptr) bool {
		_, _ = unix.SendmsgN(int(fd), p, nil, to, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true
	})
}

// drain hands the datagrams that wait at an endpoint to use. It does not wait.
func drain(ep tcpip.Endpoint, use func([]byte)) {
	buf := takeDatagram()
	defer putDatagram(buf)
	for {
		w := tcpip.SliceWriter(buf[:])
		res, err := ep.Read(&w, tcpip.ReadOptions{})
		if err != nil {
			return
		}
		use(buf[:res.Count])
	}
}

// A machine that was reset without closing its connections answers no probe, or
// with a reset.
const (
	keepAliveIdle     = 60 * time.Second
	keepAliveInterval = 15 * time.Second
	keepAliveCount    = 4
)

func keepAlive(ep tcpip.Endpoint) {
	idle, interval := tcpip.KeepaliveIdleOption(keepAliveIdle), tcpip.KeepaliveIntervalOption(keepAliveInterval)
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepAliveCount)
	ep.SocketOptions().SetKeepAlive(true)
}
