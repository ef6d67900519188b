// Package statsfile writes counters to a file as JSON lines (RFC 8259, one value a line): one at each tick, one at the end.
package statsfile

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Open opens a file to append lines to, and creates it; "-" is standard output. A FIFO must have a reader already: the error
// is else ENXIO, and Open doesn't wait.
func Open(path string) (*os.File, error) {
	if path == "-" {
		return os.Stdout, nil
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o644)
}

// Writer writes lines from a goroutine of its own, which a reader that reads nothing may block.
type Writer struct {
	file    *os.File
	read    func() any
	closing chan struct{}
	ended   chan error // has the first error once the last line is written
}

// Start returns a writer of what read returns, at each tick and when it is closed. It takes the file; Close closes it.
func Start(file *os.File, ticks <-chan time.Time, read func() any) *Writer {
	w := &Writer{file: file, read: read, closing: make(chan struct{}), ended: make(chan error, 1)}
	go w.run(ticks)
	return w
}

func (w *Writer) run(ticks <-chan time.Time) {
	for {
		select {
		case <-ticks:
			if err := w.line(); err != nil {
				<-w.closing
				w.ended <- err
				return
			}
		case <-w.closing:
			w.ended <- w.line()
			return
		}
	}
}

func (w *Writer) line() error {
	b, err := json.Marshal(w.read())
	if err != nil {
		return err
	}
	_, err = w.file.Write(append(b, '\n'))
	return err
}

var errBlocked = errors.New("its reader reads nothing: the last lines are lost")

// Close writes the last line and closes the file. It returns the first error of writing, after which nothing was written, and
// waits for the file's reader no longer than limit.
func (w *Writer) Close(limit time.Duration) (err error) {
	close(w.closing)
	select {
	case err = <-w.ended:
	case <-time.After(limit):
		return errBlocked // the goroutine still has the file
	}
	if w.file != os.Stdout {
		err = errors.Join(err, w.file.Close())
	}
	return err
}
