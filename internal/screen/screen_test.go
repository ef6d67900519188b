package screen_test

import (
	"context"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/screen"
)

func TestWordsAreWaitedFor(t *testing.T) {
	s := screen.New()
	done := make(chan error)
	go func() { done <- s.Wait(t.Context(), "ready\n") }()
	for _, p := range []string{"not rea", "dy", "\r\n@1 a", "bc\n@12 x"} {
		s.Write([]byte(p))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if line, err := s.Line(t.Context(), "@1 "); line != "@1 abc" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if line, err := s.Line(ctx, "@12 "); err == nil {
		t.Errorf("half a line: %q", line)
	}
	s.Forget()
	if err := s.Wait(ctx, "ready"); err == nil || s.Text() != "" {
		t.Errorf("%v, %q is left", err, s.Text())
	}
}
