package virtio_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/mayfly-vm/mayfly/virtio"
)

// slow is a device whose Stop waits, until the test lets it end.
type slow struct {
	*bench
	stopping chan struct{} // an element for each Stop that has begun
	release  chan struct{} // an element lets one end
	started  chan struct{} // an element for each Start
}

func newSlow(t *testing.T) *slow {
	s := &slow{stopping: make(chan struct{}, 8), release: make(chan struct{}, 8), started: make(chan struct{}, 8)}
	s.bench = newBench(t, &manual{
		onStart: func() { s.started <- struct{}{} },
		onStop:  func() { s.stopping <- struct{}{}; <-s.release },
	}, virtio.Options{})
	s.start()
	<-s.started
	t.Cleanup(func() { s.release <- struct{}{} }) // before the bench's Close
	return s
}

// abandon begins a Pause and ends its context while the device stops.
func (s *slow) abandon() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() { failed <- s.Pause(ctx) }()
	<-s.stopping
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		s.t.Fatalf("pause: %v", err)
	}
}

// async runs do and returns a channel that is closed after it.
func async(do func()) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	return done
}

func TestPauseEndsWithItsContext(t *testing.T) {
	s := newSlow(t)
	s.abandon()
	// Nobody waits for the Stop.
	q := s.dev.session.Queue(0)
	q.TakeKick()
	s.Notify(0)
	s.SetStatus(ready | ok)
	s.WriteConfig(0, []byte{1})
	if s.Queue(0) != goodQueue || s.Accepted() == 0 {
		t.Error("the registers changed")
	}
	if first, second := s.Work(), s.Work(); first == second {
		t.Error("a device that stops shows no work")
	}
	if _, err := s.Save(); err == nil {
		t.Error("saved while it stops")
	}
	s.Resume()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Pause(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("second pause: %v", err)
	}
	s.release <- struct{}{}
	<-s.started // by itself
	s.release <- struct{}{}
	s.pause() // has the transition, so the start is over
	if s.dev.starts != 2 || s.dev.stops != 2 || !q.TakeKick() {
		t.Errorf("%d starts, %d stops; the kick must not be lost", s.dev.starts, s.dev.stops)
	}
	if _, err := s.Save(); err != nil {
		t.Error(err)
	}
}

func TestPauseDoesNotWaitForAReset(t *testing.T) {
	s := newSlow(t)
	reset := async(func() { s.SetStatus(0) })
	<-s.stopping
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() { failed <- s.Pause(ctx) }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("pause: %v", err)
	}
	s.Resume()
	s.release <- struct{}{}
	<-reset
	s.start()
	if s.dev.starts != 2 || s.dev.stops != 1 {
		t.Errorf("%d starts, %d stops", s.dev.starts, s.dev.stops)
	}
}

func TestResetDuringAPause(t *testing.T) {
	for _, abandoned := range []bool{false, true} {
		s := newSlow(t)
		paused := make(chan struct{})
		if abandoned {
			s.abandon()
			close(paused)
		} else {
			go func() {
				s.pause()
				close(paused)
			}()
			<-s.stopping
		}
		session := s.dev.session
		if session.Ending() {
			t.Error("a paused session ends")
		}
		reset := async(func() { s.SetStatus(0) })
		for !session.Ending() { // the Stop can find out that nobody waits for answers
			runtime.Gosched()
		}
		s.release <- struct{}{}
		<-paused
		<-reset
		if s.dev.starts != 1 || s.dev.stops != 1 || s.Status() != 0 || s.board.bound != s.board.unbound {
			t.Errorf("%d starts, %d stops, status %#x", s.dev.starts, s.dev.stops, s.Status())
		}
		s.start()
		if want := map[bool]int{false: 1, true: 2}[abandoned]; s.dev.starts != want {
			t.Errorf("%d starts before the Resume, want %d", s.dev.starts, want)
		}
		if s.Resume(); s.dev.starts != 2 {
			t.Errorf("%d starts after the Resume", s.dev.starts)
		}
	}
}

func TestCloseDuringAPause(t *testing.T) {
	s := newSlow(t)
	s.abandon()
	session := s.dev.session
	closed := async(s.Close)
	for !session.Ending() {
		runtime.Gosched()
	}
	s.release <- struct{}{}
	<-closed
	s.Resume()
	if s.dev.starts != 1 || s.dev.stops != 1 || s.board.bound != s.board.unbound {
		t.Errorf("%d starts, %d stops", s.dev.starts, s.dev.stops)
	}
	s = newSlow(t)
	s.release <- struct{}{}
	s.pause()
	s.Close()
	s.Resume()
	if s.dev.starts != 1 || s.dev.stops != 1 || s.board.bound != s.board.unbound {
		t.Errorf("closed while paused: %d starts, %d stops", s.dev.starts, s.dev.stops)
	}
}

func TestHaltDuringAPause(t *testing.T) {
	s := newSlow(t)
	paused := async(s.pause)
	<-s.stopping
	s.Halt()
	if !s.dev.session.Ending() || !s.dev.session.Halted() {
		t.Error("the Stop does not find out that the machine has ended")
	}
	s.release <- struct{}{}
	<-paused
}

// A driver may get as far as DRIVER_OK in an access that is still handled.
func TestDriverBeginsWhilePaused(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.pause()
	b.start()
	if b.dev.starts != 0 {
		t.Fatal("a device started while it was paused")
	}
	b.Notify(0)
	saved, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	n := newBench(t, &manual{}, virtio.Options{})
	if err := n.Restore(saved); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bench{b, n} {
		fresh := false
		b.dev.onStart = func() { fresh = b.dev.next.Fresh() }
		if b.Resume(); b.dev.starts != 1 || !fresh || !b.dev.session.Queue(0).TakeKick() {
			t.Errorf("%d starts, for a driver that has just begun: %v", b.dev.starts, fresh)
		}
		b.pause()
		if b.Resume(); b.dev.starts != 2 || fresh {
			t.Errorf("%d starts; after a pause, for a driver that has just begun: %v", b.dev.starts, fresh)
		}
	}
}

func TestConfigChangesWhilePaused(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.start()
	b.pause()
	was := b.Generation()
	b.dev.session.ConfigChanged()
	b.dev.session.ConfigChanged()
	if b.board.config != 0 || b.Generation() == was {
		t.Errorf("%d interrupts while paused, generation %d", b.board.config, b.Generation())
	}
	saved, err := b.Save()
	if err != nil {
		t.Fatal(err)
	}
	n := newBench(t, &manual{}, virtio.Options{})
	if err := n.Restore(saved); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bench{b, n} {
		b.Resume()
		b.pause()
		if b.Resume(); b.board.config != 1 {
			t.Errorf("%d interrupts after two Resumes", b.board.config)
		}
	}
	ended := b.dev.session
	b.SetStatus(0)
	if ended.ConfigChanged(); b.board.config != 1 {
		t.Error("the configuration of a session that is over was announced")
	}
}

func TestNeedsResetAtAPause(t *testing.T) {
	b := newBench(t, &manual{}, virtio.Options{})
	b.dev.onStop = func() { b.dev.session.Fail(errors.New("the kernel keeps the ring")) }
	b.start()
	b.pause()
	if b.Resume(); b.dev.starts != 1 || b.Status()&needs == 0 || b.board.config != 1 {
		t.Errorf("%d starts, status %#x, %d interrupts", b.dev.starts, b.Status(), b.board.config)
	}
	if _, err := b.Save(); err == nil {
		t.Error("saved after the Resume")
	}
	b.dev.onStop = nil
	if b.SetStatus(0); b.Status() != 0 || b.dev.stops != 1 {
		t.Errorf("status %#x, %d stops", b.Status(), b.dev.stops)
	}
	if b.start(); b.dev.starts != 2 {
		t.Errorf("%d starts", b.dev.starts)
	}
}
