package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits on what is read: the guest, or what stands in its place, is not trusted.
const (
	maxPoints = 1000
	maxFacts  = 4096
	maxLine   = 4096 // longer lines are no TAP and are passed over
)

// Errors of Parse, besides those of its reader. The report holds what was read until then.
var (
	ErrNoPlan     = errors.New("no plan line (1..N): the guest said nothing, or something else wrote to the serial port")
	ErrIncomplete = errors.New("the guest stopped before its end")
	ErrOrder      = errors.New("points out of order")
	ErrTooMuch    = errors.New("more output than the check guest writes")
)

// Point is one line of the report: one fact about the state at entry.
type Point struct {
	Number          int // from 1
	Title           string
	OK              bool
	Skipped         bool   // not checked; OK is true
	Reason          string // of a skipped point
	Found, Expected string // of a point that is not OK
}

// String returns the point as one line for people.
func (p Point) String() string {
	switch {
	case p.Skipped:
		return fmt.Sprintf("skip %2d %s (%s)", p.Number, p.Title, p.Reason)
	case p.OK:
		return fmt.Sprintf("ok   %2d %s", p.Number, p.Title)
	}
	return fmt.Sprintf("FAIL %2d %s: found %s, expected %s", p.Number, p.Title, p.Found, p.Expected)
}

// Fact is a line "# key: value": something the guest saw that is neither right nor wrong. A key can occur several
// times ("map", one for each entry of the memory map).
type Fact struct{ Key, Value string }

// Report is what the guest printed.
type Report struct {
	Plan    int // number of points announced
	Points  []Point
	Facts   []Fact
	BailOut string // why the guest gave up; empty when it didn't
}

// Failed returns the points that are not OK.
func (r Report) Failed() []Point {
	var f []Point
	for _, p := range r.Points {
		if !p.OK {
			f = append(f, p)
		}
	}
	return f
}

// Fact returns the value of the first fact with that key, or "".
func (r Report) Fact(key string) string {
	for _, f := range r.Facts {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// Parse reads a check guest's output up to the line "# done", or to the end of r. Lines that aren't the guest's (a
// monitor's log on the same terminal) are passed over. Failed points are no error; a report without its end is.
// A *bufio.Reader of 4096 bytes or more is read no further than that line.
func Parse(r io.Reader) (Report, error) {
	p := parser{}
	br := bufio.NewReaderSize(r, maxLine)
	for long := false; ; {
		line, err := br.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			long = true
			continue
		}
		if !long {
			done, lineErr := p.line(string(bytes.TrimRight(line, "\r\n")))
			if done || lineErr != nil {
				return p.report, lineErr
			}
		}
		long = false
		if err == io.EOF {
			return p.report, p.incomplete()
		}
		if err != nil {
			return p.report, fmt.Errorf("check: read the guest's output: %w", err)
		}
	}
}

type parser struct {
	report  Report
	planned bool
}

// line takes one line and reports whether it was the last.
func (p *parser) line(s string) (done bool, err error) {
	switch {
	case strings.HasPrefix(s, "Bail out!"):
		p.report.BailOut = strings.TrimSpace(strings.TrimPrefix(s, "Bail out!"))
		return true, fmt.Errorf("check: %w: it says %q", ErrIncomplete, p.report.BailOut)
	case strings.HasPrefix(s, "1..") && !p.planned:
		text, _, _ := strings.Cut(s[3:], " ")
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxPoints {
			return false, nil
		}
		p.report.Plan, p.planned = n, true
	case s == "# done" && p.planned:
		if len(p.report.Points) != p.report.Plan {
			return true, p.incomplete()
		}
		return true, nil
	case strings.HasPrefix(s, "# ") && p.planned:
		key, value, ok := strings.Cut(s[2:], ": ")
		if !ok {
			break
		}
		if len(p.report.Facts) == maxFacts {
			return true, fmt.Errorf("check: %w: %d lines of facts", ErrTooMuch, maxFacts)
		}
		p.report.Facts = append(p.report.Facts, Fact{key, value})
	default:
		point, ok := parsePoint(s)
		if !ok || !p.planned {
			break
		}
		if want := len(p.report.Points) + 1; point.Number != want || want > p.report.Plan {
			return true, fmt.Errorf("check: %w: found point %d of %d after point %d", ErrOrder, point.Number, p.report.Plan, want-1)
		}
		p.report.Points = append(p.report.Points, point)
	}
	return false, nil
}

// incomplete is the error of a report that ends here.
func (p *parser) incomplete() error {
	if !p.planned {
		return fmt.Errorf("check: %w", ErrNoPlan)
	}
	n := len(p.report.Points)
	if n == 0 {
		return fmt.Errorf("check: %w: none of %d points", ErrIncomplete, p.report.Plan)
	}
	return fmt.Errorf("check: %w: %d of %d points, the last is %q", ErrIncomplete, n, p.report.Plan, p.report.Points[n-1].Title)
}

// parsePoint reads "ok N - title", "ok N - title # SKIP reason" and "not ok N - title # found X, expected Y".
func parsePoint(s string) (Point, bool) {
	var p Point
	s, not := strings.CutPrefix(s, "not ")
	p.OK = !not
	s, ok := strings.CutPrefix(s, "ok ")
	if !ok {
		return p, false
	}
	number, s, ok := strings.Cut(s, " - ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return p, false
	}
	p.Number = n
	var directive string
	p.Title, directive, _ = strings.Cut(s, " # ")
	if reason, ok := strings.CutPrefix(directive, "SKIP "); ok && p.OK {
		p.Skipped, p.Reason = true, reason
	} else if found, ok := strings.CutPrefix(directive, "found "); ok && !p.OK {
		p.Found, p.Expected, _ = strings.Cut(found, ", expected ")
	}
	return p, true
}
