package virtio

import (
	"testing"
	"time"
)

// Looking in vain ends the looking, but for a try now and then; one that finds
// work brings it back.
func TestSpinnerLearns(t *testing.T) {
	s := NewSpinner(time.Hour)
	looks := func(found bool) (looked bool) {
		looked = s.More()
		if !found {
			s.since = s.since.Add(-2 * time.Hour)
			for range 3 {
				if s.More() {
					t.Fatal("looks for longer than its time")
				}
			}
		}
		s.Worked()
		return looked
	}
	if !looks(true) || s.window != time.Hour {
		t.Fatalf("looks for %v after it found work", s.window)
	}
	for range 64 {
		looks(false)
	}
	if s.window != 0 {
		t.Fatalf("looks for %v after it never found work", s.window)
	}
	tries := 0
	for range 10 * spinAgain {
		if looks(false) {
			tries++
		}
	}
	if tries != 10 {
		t.Fatalf("%d tries, want one in %d sleeps", tries, spinAgain)
	}
	for range 10 * spinAgain {
		looks(true)
	}
	if s.window != s.most {
		t.Fatalf("looks for %v after it found work again and again", s.window)
	}
	s = NewSpinner(0)
	if looks(true) {
		t.Fatal("looks where it shall not")
	}
}
