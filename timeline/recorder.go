// Package timeline records where the time of a machine's start went, and draws it.
//
// A [Recorder] takes marks: names of moments. A mark closes the phase that the mark before it opened, so "kernel mapped" is
// both the moment at which the kernel was mapped and the name of the phase that ended there. Work that runs concurrently with the
// main line (a second thread that copies, say) is a span. Marks come from the monitor or from the guest; the mark
// [GuestEntered] parts the set-up from the guest's own time.
//
// All methods may be called on a nil Recorder and then do nothing, so the code that marks needs no condition:
// a machine without a timeline pays one comparison a mark.
package timeline

import (
	"fmt"
	"sync"
	"time"
)

// Names of marks that the pictures treat specially. The monitor sets them with [Recorder.Mark].
const (
	// GuestEntered is the moment just before the first KVM_RUN of the boot processor: what precedes it is set-up.
	GuestEntered = "first guest instruction"
	// FirstOutput is the guest's first byte on its serial port.
	FirstOutput = "first output"
	// Init is Linux's switch to user space, recognised by its line "Run /init as init process" on the serial port. (A guest with
	// "quiet" on its command line doesn't print it.)
	Init = "Run /init"
)

// MaxMarks is how many marks and how many spans one recorder keeps. A guest can write marks in an endless loop; what comes
// after the limit is counted ([Snapshot.Dropped]) and not kept. The monitor's own marks have a reserve of their own, so that a
// guest can't push them out.
const MaxMarks = 1024

const monitorReserve = 64

// By is who set a mark.
type By string

// The two that can set a mark.
const (
	Monitor By = "monitor"
	Guest   By = "guest"
)

// Mark is a named moment.
type Mark struct {
	Name string        `json:"name"`
	At   time.Duration `json:"at_ns"` // since the recorder's start
	By   By            `json:"by"`
}

// Span is work that ran concurrently with the main line.
type Span struct {
	Name string        `json:"name"`
	From time.Duration `json:"from_ns"` // since the recorder's start
	To   time.Duration `json:"to_ns"`
}

// Exit is how often a vCPU left the guest for one reason.
type Exit struct {
	Kind  string `json:"kind"`
	Count uint64 `json:"count"`
}

// Recorder collects marks, spans and exits of one machine. It may be used from several goroutines at once.
type Recorder struct {
	start time.Time

	mu             sync.Mutex
	title, detail  string
	origin         Origin
	marks          []Mark
	spans          []Span
	exits          map[int][]Exit
	dropped        uint64
	unorderedMarks bool // a MarkAt was before the newest mark
}

// New returns a recorder whose time zero is start; see [ProcessStart] for the usual one.
func New(start time.Time) *Recorder {
	return &Recorder{start: start, marks: make([]Mark, 0, 32)}
}

// SetTitle says what the picture is of, in one line each: the command, and the machine's size.
func (r *Recorder) SetTitle(title, detail string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.title, r.detail = title, detail
}

// SetOrigin says what time zero is.
func (r *Recorder) SetOrigin(o Origin) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.origin = o
}

// Mark records that what name says is done now.
func (r *Recorder) Mark(name string) {
	if r == nil {
		return
	}
	r.MarkAt(name, time.Now())
}

// MarkAt is [Recorder.Mark] for a moment that has passed. A moment before the recorder's start counts as the start.
func (r *Recorder) MarkAt(name string, at time.Time) {
	if r == nil {
		return
	}
	r.add(Mark{Name: name, At: at.Sub(r.start), By: Monitor}, MaxMarks+monitorReserve)
}

// Guest records a mark that the guest has set: a line that was recognised on its serial port, for example.
func (r *Recorder) Guest(name string) {
	if r == nil {
		return
	}
	r.add(Mark{Name: name, At: time.Since(r.start), By: Guest}, MaxMarks)
}

// GuestCode records the byte that a guest wrote to the mark port.
func (r *Recorder) GuestCode(code byte) {
	if r == nil {
		return
	}
	now := time.Now() // before the name is made: that costs more than the mark
	name := fmt.Sprintf("guest mark %#04x", code)
	if code > ' ' && code < 0x7f {
		name = fmt.Sprintf("guest mark %q", rune(code))
	}
	r.add(Mark{Name: name, At: now.Sub(r.start), By: Guest}, MaxMarks)
}

func (r *Recorder) add(m Mark, limit int) {
	m.At = max(m.At, 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.marks) >= limit {
		r.dropped++
		return
	}
	if n := len(r.marks); n > 0 && r.marks[n-1].At > m.At {
		r.unorderedMarks = true
	}
	r.marks = append(r.marks, m)
}

// Span records work that ran concurrently with the main line from one moment to another.
func (r *Recorder) Span(name string, from, to time.Time) {
	if r == nil {
		return
	}
	s := Span{Name: name, From: max(from.Sub(r.start), 0), To: max(to.Sub(r.start), 0)}
	s.To = max(s.To, s.From)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans) >= MaxMarks {
		r.dropped++
		return
	}
	r.spans = append(r.spans, s)
}

// Count adds n exits of a kind to a vCPU. It takes a lock: a run loop counts for itself and hands its sums over when it ends.
func (r *Recorder) Count(vcpu int, kind string, n uint64) {
	if r == nil || n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.exits[vcpu]
	for i := range list {
		if list[i].Kind == kind {
			list[i].Count += n
			return
		}
	}
	r.setExits(vcpu, append(list, Exit{kind, n}))
}

// SetExits replaces what is known of a vCPU's exits. The recorder keeps a copy.
func (r *Recorder) SetExits(vcpu int, exits []Exit) {
	if r == nil {
		return
	}
	list := make([]Exit, 0, len(exits))
	for _, e := range exits {
		if e.Count > 0 {
			list = append(list, e)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setExits(vcpu, list)
}

func (r *Recorder) setExits(vcpu int, list []Exit) {
	if r.exits == nil {
		r.exits = make(map[int][]Exit)
	}
	r.exits[vcpu] = list
}
