package timeline_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/timeline"
)

func TestNilRecorderDoesNothing(t *testing.T) {
	var r *timeline.Recorder
	n := testing.AllocsPerRun(10, func() {
		r.Mark("a")
		r.MarkAt("a", time.Time{})
		r.Guest("a")
		r.GuestCode(1)
		r.Span("a", time.Time{}, time.Time{})
		r.Count(0, "io", 1)
		r.SetExits(0, nil)
		r.SetTitle("a", "b")
		r.SetOrigin(timeline.OriginMain)
	})
	if n != 0 {
		t.Errorf("a nil recorder allocates %v times", n)
	}
	if diff := cmp.Diff(timeline.Snapshot{}, r.Snapshot()); diff != "" {
		t.Error(diff)
	}
}

func TestSnapshotIsInOrder(t *testing.T) {
	start := time.Now()
	r := timeline.New(start)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	r.MarkAt("b", at(2))
	r.MarkAt("a", at(1))
	r.MarkAt("before the start", at(-5))
	r.Span("copy", at(3), at(2))
	r.SetExits(1, []timeline.Exit{{"io", 2}, {"hlt", 5}, {"never", 0}})
	r.Count(0, "io", 3)
	r.Count(0, "io", 4)
	r.Count(0, "mmio", 7)
	s := r.Snapshot()
	want := timeline.Snapshot{
		Start: start.Round(0),
		Marks: []timeline.Mark{
			{"before the start", 0, timeline.Monitor}, {"a", time.Millisecond, timeline.Monitor}, {"b", 2 * time.Millisecond, timeline.Monitor},
		},
		Spans: []timeline.Span{{"copy", 3 * time.Millisecond, 3 * time.Millisecond}},
		VCPUs: []timeline.VCPU{
			{0, []timeline.Exit{{"io", 7}, {"mmio", 7}}},
			{1, []timeline.Exit{{"hlt", 5}, {"io", 2}}},
		},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]timeline.Exit{{"io", 9}, {"mmio", 7}, {"hlt", 5}}, s.Exits()); diff != "" {
		t.Error(diff)
	}
	if got := s.Total(); got != 3*time.Millisecond {
		t.Errorf("Total() = %v, want 3ms", got)
	}
}

// A guest that writes marks without end must neither eat the host's memory nor push out the monitor's own marks.
func TestGuestCannotFloodTheRecorder(t *testing.T) {
	r := timeline.New(time.Now())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range timeline.MaxMarks {
				r.GuestCode(byte(i))
			}
		})
	}
	wg.Wait()
	r.Mark("end")
	s := r.Snapshot()
	if len(s.Marks) != timeline.MaxMarks+1 || s.Dropped != 3*timeline.MaxMarks {
		t.Errorf("%d marks kept, %d dropped", len(s.Marks), s.Dropped)
	}
	if _, ok := s.At("end"); !ok {
		t.Error("the monitor's own mark is lost")
	}
}
