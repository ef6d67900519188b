package statsfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

type counters struct {
	Exits int `json:"exits"`
}

// reader returns a function that counts its calls.
func reader() func() any {
	n := 0
	return func() any { n++; return counters{n} }
}

func TestOneLineATickAndOneAtTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stats")
	for _, want := range []string{"{\"exits\":1}\n{\"exits\":2}\n{\"exits\":3}\n", "{\"exits\":1}\n{\"exits\":2}\n{\"exits\":3}\n{\"exits\":1}\n{\"exits\":2}\n{\"exits\":3}\n"} {
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		ticks := make(chan time.Time)
		w := Start(f, ticks, reader())
		ticks <- time.Time{}
		ticks <- time.Time{}
		if err := w.Close(time.Minute); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%q, %v, want %q", b, err, want)
		}
	}
}

func TestFailureEndsWritingAndIsReported(t *testing.T) {
	f, err := Open("/dev/full")
	if err != nil {
		t.Skip(err)
	}
	calls := 0
	ticks := make(chan time.Time)
	w := Start(f, ticks, func() any { calls++; return nil })
	ticks <- time.Time{}
	if err := w.Close(time.Minute); !errors.Is(err, unix.ENOSPC) || calls != 1 {
		t.Errorf("after %d lines: %v", calls, err)
	}
}

// A FIFO that nothing reads: opening it is an error, and so is closing it when it is full; neither waits for good.
func TestBlockedReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, unix.ENXIO) {
		t.Errorf("without a reader: %v", err)
	}
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := Start(f, nil, func() any { return make([]byte, 1<<20) })
	if err := w.Close(time.Millisecond); !errors.Is(err, errBlocked) {
		t.Errorf("with a reader that reads nothing: %v", err)
	}
}
