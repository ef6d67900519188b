package virtio

import (
	"testing"
	"time"
)

// Long sleeps end the looking, short ones bring it back.
func TestSpinnerLearns(t *testing.T) {
	s := NewSpinner(time.Hour)
	s.Worked()
	for range 2 {
		if !s.More() {
			t.Fatal("a new one does not look")
		}
	}
	for range 40 {
		s.Worked()
		s.More()
		s.since = s.since.Add(-5 * time.Hour)
		s.Woke()
	}
	s.Worked()
	if s.window != 0 || s.More() {
		t.Fatalf("looks for %v after sleeps that were all long", s.window)
	}
	for range 60 {
		s.Worked()
		s.More()
		s.Woke()
	}
	if s.window != s.most {
		t.Fatalf("looks for %v after sleeps that were all short", s.window)
	}
	off := NewSpinner(0)
	for range 2 {
		if off.More() {
			t.Fatal("looks where it shall not")
		}
	}
}
