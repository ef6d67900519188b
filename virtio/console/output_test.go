package console

import (
	"errors"
	"testing"
	"time"
)

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
	var stats counters
	var o output
	o.init(&stats, false)
	o.mustArrive, o.report = true, func(error) {}
	w := lateWriter{make(chan struct{}), make(chan struct{})}
	o.w = w
	o.ring.put(make([]byte, 1000))
	go o.write()
	<-w.called
	if o.close(time.Now()) == nil {
		t.Error("close has no error")
	}
	close(w.release)
	<-o.done
	if n := stats.failed.Load(); n != 1000 {
		t.Errorf("%d bytes of 1000 are lost", n)
	}
}
