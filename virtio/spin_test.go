package virtio

import (
	"testing"
	"time"
)

// Long sleeps end the looking, short ones bring it back.
func TestSpinnerLearns(t *testing.T) {
	s := newSpinner(time.Hour)
	s.worked()
	if !s.more() || !s.more() {
		t.Fatal("a new one does not look")
	}
	for range 40 {
		s.worked()
		s.more()
		s.since = s.since.Add(-5 * time.Hour)
		s.woke()
	}
	s.worked()
	if s.window != 0 || s.more() {
		t.Fatalf("looks for %v after sleeps that were all long", s.window)
	}
	for range 60 {
		s.worked()
		s.more()
		s.woke()
	}
	if s.window != s.most {
		t.Fatalf("looks for %v after sleeps that were all short", s.window)
	}
	if off := newSpinner(0); off.more() || off.more() {
		t.Fatal("looks where it shall not")
	}
}
