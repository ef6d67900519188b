package usernet_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/mayfly-vm/mayfly/usernet"
)

// serve makes a network, and returns the machine's end and what Serve returns.
func serve(t *testing.T) (net.Conn, chan error) {
	n, err := usernet.New(usernet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- n.Serve(context.Background(), far) }()
	t.Cleanup(func() { near.Close(); n.Close() })
	return near, done
}

// TestManyStations: each sender's address is remembered by the library, so there is
// an end to them.
func TestManyStations(t *testing.T) {
	near, done := serve(t)
	f := make([]byte, 4+60)
	binary.BigEndian.PutUint32(f, 60)
	f[4] = 0x02
	sent := 0
	for ; sent < 1<<16; sent++ {
		binary.BigEndian.PutUint32(f[12:], 0x02000000+uint32(sent))
		if _, err := near.Write(f); err != nil {
			break
		}
	}
	if sent < 512 || sent > 2048 {
		t.Errorf("%d addresses were taken", sent)
	}
	near.Close()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "Ethernet addresses") {
		t.Error(err)
	}
}

// TestLengthsAlone: a length is judged before the library takes memory for it.
func TestLengthsAlone(t *testing.T) {
	for _, size := range []uint32{0, 13, 1 << 17, 1<<32 - 1} {
		near, done := serve(t)
		if _, err := near.Write(binary.BigEndian.AppendUint32(nil, size)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "a frame of") {
				t.Errorf("%d: %v", size, err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%d: nobody minds", size)
		}
	}
}

// TestManyFlows: each pair of UDP ports costs a socket, two goroutines and 128 KiB
// for 90 seconds, so they come at a limited rate.
func TestManyFlows(t *testing.T) {
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	g := start(t, usernet.Config{Host: true})
	to := address(usernet.Host, uint16(sink.LocalAddr().(*net.UDPAddr).Port))
	before, begin := runtime.NumGoroutine(), time.Now()
	for range 4000 {
		c, err := gonet.DialUDP(g.s, nil, &to, ipv4.ProtocolNumber)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		for g.link.NumQueued() > 100 { // it drops what it has no room for
			runtime.Gosched()
		}
	}
	// Two goroutines each, for 2048 at once and some more a second.
	most := 2 * (2048 + 100 + 23*int(time.Since(begin)/time.Second))
	if n := runtime.NumGoroutine() - before; n > most {
		t.Errorf("%d goroutines", n)
	} else {
		t.Log(n, "goroutines")
	}
}

// TestManyConnections: each costs a socket of the host and up to 1 MiB, so one too
// many is refused, and there is room again when others have ended.
func TestManyConnections(t *testing.T) {
	port := hostServer(t, func(c net.Conn) { io.Copy(io.Discard, c) })
	g := start(t, usernet.Config{Host: true})
	var open []net.Conn
	for len(open) < 2000 {
		c, err := g.dial(usernet.Host, port)
		if err != nil {
			break
		}
		defer c.Close()
		open = append(open, c)
	}
	if len(open) < 1024 || len(open) > 1024+10 { // as many as may be under way beside
		t.Fatalf("%d connections were taken", len(open))
	}
	for _, c := range open[:10] {
		c.Close()
	}
	for end := time.Now().Add(20 * time.Second); ; {
		c, err := g.dial(usernet.Host, port)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// TestConnectionsThatEnd: those whose far end has closed them count no more, however
// many have come before.
func TestConnectionsThatEnd(t *testing.T) {
	port := hostServer(t, func(c net.Conn) { c.Write([]byte("bye")) })
	g := start(t, usernet.Config{Host: true})
	refused := 0
	for i := 0; i < 1500; {
		c, err := g.dial(usernet.Host, port)
		if err != nil {
			if refused++; refused > 2000 { // more than two a second that one waits for
				t.Fatalf("after %d: %v", i, err)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if b, err := io.ReadAll(c); string(b) != "bye" {
			t.Fatalf("%q, %v", b, err)
		}
		c.Close()
		i++
	}
}
