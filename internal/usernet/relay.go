package usernet

import (
	"bytes"
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// endpoint is one of the network stack's, with the queue that it notifies.
type endpoint struct {
	tcpip.Endpoint
	queue *waiter.Queue
}

// relay copies between a connection of the machine and one of the host. A direction
// whose sender has finished is finished at the other side; when either side fails,
// both are reset.
type relay struct {
	guest endpoint
	host  *net.TCPConn
	over  chan struct{} // closed when either side has failed
	once  sync.Once
}

// relay returns when both directions have ended; both sides are closed then.
func (n *Network) relay(guest endpoint, host *net.TCPConn) {
	size := n.buffers.take()
	defer n.buffers.put(size)
	guest.SocketOptions().SetSendBufferSize(int64(size), true)
	guest.SocketOptions().SetReceiveBufferSize(int64(size), true)
	keepAlive(guest)

	r := &relay{guest: guest, host: host, over: make(chan struct{})}
	stop := context.AfterFunc(n.ctx, r.fail)
	defer stop()
	// Both directions may be waiting for the host's side when the machine resets.
	failed := waiter.NewFunctionEntry(waiter.EventHUp|waiter.EventErr, func(waiter.EventMask) {
		if tcp.EndpointState(guest.State()) == tcp.StateError {
			r.fail()
		}
	})
	guest.queue.EventRegister(&failed)
	if tcp.EndpointState(guest.State()) == tcp.StateError {
		r.fail()
	}
	var up sync.WaitGroup
	up.Go(r.toHost)
	r.toGuest(size)
	up.Wait()
	guest.queue.EventUnregister(&failed)
	host.Close()
	select {
	case <-r.over:
	default:
		// What the machine has not read yet is in the endpoint's buffer and counts.
		awaitSent(n.ctx, guest)
	}
	guest.Abort()
}

// sentCheck is how often the state of a connection is read whose end causes no event.
const sentCheck = time.Second

// awaitSent waits until the machine has taken all that was sent to it, with the end
// of the stream, or the connection has failed.
func awaitSent(ctx context.Context, guest endpoint) {
	entry, changed := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.WritableEvents | waiter.EventHUp | waiter.EventErr)
	guest.queue.EventRegister(&entry)
	defer guest.queue.EventUnregister(&entry)
	tick := time.NewTicker(sentCheck)
	defer tick.Stop()
	for {
		switch tcp.EndpointState(guest.State()) {
		case tcp.StateFinWait2, tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fail makes both directions end. The host's connection is reset, not finished.
func (r *relay) fail() {
	r.once.Do(func() {
		close(r.over)
		_ = r.host.SetLinger(0)
		_ = r.host.Close()
	})
}

// prepare returns what one direction waits for: the host's socket, and a channel
// that receives when the machine's endpoint has one of the events or has ended.
// Without a socket both directions end. release is to be called in any case.
func (r *relay) prepare(events waiter.EventMask) (raw syscall.RawConn, ready <-chan struct{}, release func()) {
	entry, ready := waiter.NewChannelEntry(events | waiter.EventHUp | waiter.EventErr)
	r.guest.queue.EventRegister(&entry)
	release = func() { r.guest.queue.EventUnregister(&entry) }
	raw, err := r.host.SyscallConn()
	if err != nil {
		r.fail()
		return nil, ready, release
	}
	return raw, ready, release
}

// toHost copies what the machine sends.
func (r *relay) toHost() {
	raw, ready, release := r.prepare(waiter.ReadableEvents)
	defer release()
	if raw == nil {
		return
	}
	for {
		if r.guest.Readiness(waiter.ReadableEvents|waiter.EventHUp|waiter.EventErr) == 0 {
			select {
			case <-ready:
			case <-r.over:
				return
			}
			continue
		}
		// No buffer is held for a host that does not read.
		err := awaitWritable(raw)
		if err != nil {
			r.fail()
			return
		}
		buf := takeBuffer()
		w := tcpip.SliceWriter(buf[:])
		res, rerr := r.guest.Read(&w, tcpip.ReadOptions{})
		if rerr == nil {
			_, err = r.host.Write(buf[:res.Count])
		}
		putBuffer(buf)
		switch rerr.(type) {
		case nil, *tcpip.ErrWouldBlock:
			if err == nil {
				continue
			}
			r.fail()
		case *tcpip.ErrClosedForReceive:
			_ = r.host.CloseWrite()
		default:
			r.fail()
		}
		return
	}
}

// toGuest copies what the host's connection receives, at most size bytes at a time.
func (r *relay) toGuest(size int) {
	raw, ready, release := r.prepare(waiter.WritableEvents)
	defer release()
	if raw == nil {
		return
	}
	for {
		buf, n, err := receive(raw, min(size, bufferSize))
		if err != nil {
			r.fail()
			return
		}
		if n == 0 {
			_ = r.guest.Shutdown(tcpip.ShutdownWrite)
			return
		}
		rest, terr := r.write(buf[:n])
		rest = bytes.Clone(rest) // a machine that does not read holds no more than it must
		putBuffer(buf)
		for terr == nil && len(rest) > 0 {
			select {
			case <-ready:
			case <-r.over:
				return
			}
			rest, terr = r.write(rest)
		}
		if terr != nil {
			r.fail()
			return
		}
	}
}

// write sends to the machine what it has room for and returns the rest.
func (r *relay) write(p []byte) (rest []byte, err tcpip.Error) {
	data := bytes.NewReader(p)
	for data.Len() > 0 {
		if _, err := r.guest.Write(data, tcpip.WriteOptions{}); err != nil {
			if _, full := err.(*tcpip.ErrWouldBlock); full {
				break
			}
			return nil, err
		}
	}
	return p[len(p)-data.Len():], nil
}
