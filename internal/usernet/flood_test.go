package usernet_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/usernet"
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
			t.Errorf("%d: it is accepted", size)
		}
	}
}

// TestConnectionsThatEnd: those whose far end has closed them count no more, however
// many have come before.
func TestConnectionsThatEnd(t *testing.T) {
	port := hostServer(t, func(c net.Conn) { c.Write([]byte("bye")) })
	g := start(t, usernet.Config{Host: true})
	refused, retry := 0, time.Tick(time.Millisecond)
	for i := 0; i < 1500; {
		c, err := g.dial(usernet.Host, port)
		if err != nil {
			if refused++; refused > 2000 { // more than two a second that one waits for
				t.Fatalf("after %d: %v", i, err)
			}
			<-retry
			continue
		}
		if b, err := io.ReadAll(c); string(b) != "bye" {
			t.Fatalf("%q, %v", b, err)
		}
		c.Close()
		i++
	}
}
