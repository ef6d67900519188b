package lab

import (
	"bytes"
	"io"
	"sync"
)

// output keeps what a program writes and passes it on as it comes.
type output struct {
	mu       sync.Mutex
	all      bytes.Buffer
	out, err io.Writer
}

func newOutput(out, err io.Writer) *output { return &output{out: out, err: err} }

func (o *output) stdout() io.Writer { return outputStream{o, o.out} }
func (o *output) stderr() io.Writer { return outputStream{o, o.err} }

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.all.Bytes())
}

type outputStream struct {
	o  *output
	to io.Writer // may be nil
}

func (s outputStream) Write(p []byte) (int, error) {
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	s.o.all.Write(p)
	if s.to != nil {
		s.to.Write(p) // a reader that went away must not end the program
	}
	return len(p), nil
}
