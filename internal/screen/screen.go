// Package screen keeps the console of a guest for tests that wait for words on it.
package screen

import (
	"bytes"
	"context"
	"strings"
	"sync"
)

// A Screen keeps what a guest writes, without carriage returns.
type Screen struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed and replaced at each write
}

// New returns an empty one.
func New() *Screen { return &Screen{more: make(chan struct{})} }

// Write takes what the guest writes.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range p {
		if c != '\r' {
			s.buf.WriteByte(c)
		}
	}
	close(s.more)
	s.more = make(chan struct{})
	return len(p), nil
}

// Text is all of it.
func (s *Screen) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Forget empties it.
func (s *Screen) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.Reset()
}

// Tail is the end of the console, for a message.
func (s *Screen) Tail() string {
	const keep = 3000
	t := s.Text()
	if len(t) > keep {
		t = "…" + t[len(t)-keep:]
	}
	return "The console ends with:\n" + t
}

// Wait returns when the text is there.
func (s *Screen) Wait(ctx context.Context, text string) error {
	from := 0
	for {
		s.mu.Lock()
		b, more := s.buf.Bytes(), s.more
		from = min(from, len(b)) // it may have been emptied
		found := bytes.Contains(b[from:], []byte(text))
		from = max(0, len(b)-len(text))
		s.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Line returns the first whole line that starts with the prefix, without its end.
func (s *Screen) Line(ctx context.Context, prefix string) (string, error) {
	for {
		s.mu.Lock()
		text, more := s.buf.String(), s.more
		s.mu.Unlock()
		for line := range strings.Lines(text) {
			if whole, ok := strings.CutSuffix(line, "\n"); ok && strings.HasPrefix(line, prefix) {
				return whole, nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
