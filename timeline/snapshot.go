package timeline

import (
	"slices"
	"time"
)

// Snapshot is what a recorder knew at one moment. It shares nothing with the recorder.
type Snapshot struct {
	Title  string    `json:"title,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Start  time.Time `json:"start"`            // time zero, wall clock
	Origin Origin    `json:"origin,omitempty"` // what time zero is

	Marks   []Mark `json:"marks"` // in the order of their time
	Spans   []Span `json:"spans,omitempty"`
	VCPUs   []VCPU `json:"vcpus,omitempty"`
	Dropped uint64 `json:"dropped,omitempty"` // marks and spans over [MaxMarks]
}

// VCPU holds the exits of one virtual CPU, the most frequent kind first.
type VCPU struct {
	ID    int    `json:"id"`
	Exits []Exit `json:"exits"`
}

// Total is the number of exits of all kinds.
func (v VCPU) Total() uint64 {
	var n uint64
	for _, e := range v.Exits {
		n += e.Count
	}
	return n
}

// Snapshot copies what is recorded so far. Of a nil recorder it is empty.
func (r *Recorder) Snapshot() Snapshot {
	if r == nil {
		return Snapshot{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Snapshot{
		Title: r.title, Detail: r.detail, Origin: r.origin, Dropped: r.dropped,
		Start: r.start.Round(0), // wall clock alone: a monotonic reading means nothing outside this process
		Marks: slices.Clone(r.marks), Spans: slices.Clone(r.spans),
	}
	if r.unorderedMarks {
		slices.SortStableFunc(s.Marks, func(a, b Mark) int { return int(min(max(a.At-b.At, -1), 1)) })
	}
	for id, exits := range r.exits {
		s.VCPUs = append(s.VCPUs, VCPU{ID: id, Exits: sorted(exits)})
	}
	slices.SortFunc(s.VCPUs, func(a, b VCPU) int { return a.ID - b.ID })
	return s
}

// Exits sums the exits of all vCPUs by kind, the most frequent first.
func (s Snapshot) Exits() []Exit {
	var sum []Exit
	at := make(map[string]int)
	for _, v := range s.VCPUs {
		for _, e := range v.Exits {
			i, ok := at[e.Kind]
			if !ok {
				i = len(sum)
				at[e.Kind] = i
				sum = append(sum, Exit{Kind: e.Kind})
			}
			sum[i].Count += e.Count
		}
	}
	return sorted(sum)
}

// At returns the moment of the first mark of that name.
func (s Snapshot) At(name string) (time.Duration, bool) {
	for _, m := range s.Marks {
		if m.Name == name {
			return m.At, true
		}
	}
	return 0, false
}

// Total is the moment of the last mark or of the last end of a span.
func (s Snapshot) Total() time.Duration {
	var t time.Duration
	if n := len(s.Marks); n > 0 {
		t = s.Marks[n-1].At
	}
	for _, sp := range s.Spans {
		t = max(t, sp.To)
	}
	return t
}

// sorted returns a copy, the greatest count first and equal counts by name.
func sorted(exits []Exit) []Exit {
	list := slices.Clone(exits)
	slices.SortFunc(list, func(a, b Exit) int {
		switch {
		case a.Count > b.Count, a.Count == b.Count && a.Kind < b.Kind:
			return -1
		case a == b:
			return 0
		}
		return 1
	})
	return list
}
