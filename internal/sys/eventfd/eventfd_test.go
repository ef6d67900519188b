package eventfd_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
)

func open(t *testing.T) *eventfd.FD {
	t.Helper()
	e, err := eventfd.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestSignalsAddUp(t *testing.T) {
	e := open(t)
	if e.Clear() {
		t.Error("a new one has a count")
	}
	e.Signal()
	e.Signal()
	if err := e.Wait(); err != nil || e.Clear() {
		t.Errorf("Wait took not all: %v", err)
	}
	if err := e.WaitFor(time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("WaitFor: %v", err)
	}
	done := make(chan error)
	go func() { done <- e.Wait() }()
	e.Signal()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsAWait(t *testing.T) {
	e := open(t)
	done := make(chan error)
	go func() { done <- e.Wait() }()
	e.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
}

// The number of a closed descriptor is soon another file's, a disk's perhaps: a
// late signal must not be written there.
func TestLateSignalsHarmNobody(t *testing.T) {
	e := open(t)
	number := e.FD()
	e.Close()
	f, err := os.Create(t.TempDir() + "/disk")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if int(f.Fd()) != number { // the file may have the number anyway
		if err := unix.Dup3(int(f.Fd()), number, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(number)
	}
	e.Signal()
	if e.Clear() {
		t.Error("a closed one has a count")
	}
	if s, err := f.Stat(); err != nil || s.Size() != 0 {
		t.Errorf("%d bytes were written to another file, %v", s.Size(), err)
	}
}

func TestSignalAllocatesNothing(t *testing.T) {
	e := open(t)
	if n := testing.AllocsPerRun(100, func() {
		e.Signal()
		e.Clear()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
