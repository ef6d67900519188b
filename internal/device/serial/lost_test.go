package serial

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLostOutput: each byte of the guest that does not arrive is counted, and the
// cause is reported once.
func TestLostOutput(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	r, gone, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	r.Close()
	for _, tt := range []struct {
		name string
		c    Config
		want error
	}{
		{"full disk", Config{Out: full}, unix.ENOSPC},
		{"pipe without a reader", Config{Out: gone}, unix.EPIPE},
		{"broken Writer", Config{Out: brokenWriter{}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const size = 100_000
			var reports atomic.Int32
			tt.c.Report = func(error) { reports.Add(1) }
			d := New(tt.c)
			writeAll(d, bytes.Repeat([]byte("0123456789abcde\n"), size/16))
			err := d.Close()
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Close: %v", err)
			}
			if n := d.Lost(); n != size {
				t.Errorf("%d bytes lost of %d", n, size)
			}
			if n := reports.Load(); n != 1 {
				t.Errorf("%d reports", n)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	var out bytes.Buffer
	d := New(Config{Out: &out, Limit: 1000})
	writeAll(d, bytes.Repeat([]byte("0123456789"), 300))
	if err := d.Close(); err == nil || !strings.Contains(err.Error(), "limit of 1000 bytes") {
		t.Errorf("Close: %v", err)
	}
	if out.Len() != 1000 || d.Lost() != 2000 {
		t.Errorf("%d bytes arrived, %d are lost", out.Len(), d.Lost())
	}
}

// lateWriter fails when it is released.
type lateWriter struct{ called, release chan struct{} }

func (w lateWriter) Write([]byte) (int, error) {
	close(w.called)
	<-w.release
	return 0, errors.New("too late")
}

// TestLostOnce: what is lost because nobody takes it until the device is closed is not
// counted again when the Write under way fails.
func TestLostOnce(t *testing.T) {
	w := lateWriter{make(chan struct{}), make(chan struct{})}
	d := New(Config{Out: w})
	writeAll(d, []byte("0123456789"))
	<-w.called
	if d.CloseWithin(time.Millisecond) == nil {
		t.Error("CloseWithin has no error")
	}
	close(w.release)
	<-d.out.done
	if n := d.Lost(); n != 10 {
		t.Errorf("%d bytes of 10 are lost", n)
	}
}
