package checkguest

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
)

// Result is what the guest reported and how its machine ended.
type Result struct {
	OK      bool    `json:"ok"`
	Points  []Point `json:"points"`
	Facts   []Fact  `json:"facts,omitempty"`
	Problem string  `json:"problem,omitempty"` // why the report is incomplete

	report check.Report
}

// Point is one point that the guest checked.
type Point struct {
	Number   int    `json:"number"`
	Title    string `json:"title"`
	Status   string `json:"status"` // ok, skip or fail
	Found    string `json:"found,omitempty"`
	Expected string `json:"expected,omitempty"`
	Reason   string `json:"reason,omitempty"` // of skip
}

// Fact is something that the guest saw and didn't judge.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// newResult joins the guest's report, the error of reading it, and the machine's end.
func newResult(r check.Report, parse error, outcome mayfly.Outcome, timeout error) *Result {
	c := &Result{Points: []Point{}, report: r}
	for _, p := range r.Points {
		status := "ok"
		switch {
		case p.Skipped:
			status = "skip"
		case !p.OK:
			status = "fail"
		}
		c.Points = append(c.Points, Point{p.Number, p.Title, status, p.Found, p.Expected, p.Reason})
	}
	for _, f := range r.Facts {
		c.Facts = append(c.Facts, Fact{f.Key, f.Value})
	}
	switch {
	case parse != nil && timeout != nil:
		c.Problem = fmt.Sprintf("%v, and was killed after %v", parse, limit)
	case parse != nil:
		c.Problem = fmt.Sprintf("%v, and the machine ended: %v", parse, outcome.Reason)
		if outcome.Detail != "" {
			c.Problem += ": " + outcome.Detail
		}
	case outcome.Reason != mayfly.PowerOff:
		c.Problem = "the report is complete, but then the machine did not power off: " + string(outcome.Reason)
	}
	c.OK = c.Problem == "" && len(r.Points) > 0 && len(r.Failed()) == 0
	return c
}

// Text is the result for people; with facts it lists what else the guest saw.
func (c *Result) Text(facts bool) string {
	var b strings.Builder
	for _, p := range c.report.Points {
		b.WriteString(p.String() + "\n")
	}
	if facts {
		b.WriteString("\n")
		for _, f := range c.Facts {
			fmt.Fprintf(&b, "%s: %s\n", f.Key, f.Value)
		}
	}
	b.WriteString("\n")
	if c.Problem != "" {
		b.WriteString("The check is incomplete: " + c.Problem + "\n")
	}
	failed, skipped := len(c.report.Failed()), 0
	for _, p := range c.report.Points {
		if p.Skipped {
			skipped++
		}
	}
	switch {
	case c.OK && skipped > 0:
		fmt.Fprintf(&b, "All %d points that were checked are as they must be; %d skipped.\n", len(c.Points)-skipped, skipped)
	case c.OK:
		fmt.Fprintf(&b, "All %d points are as they must be.\n", len(c.Points))
	case failed > 0:
		fmt.Fprintf(&b, "%d of %d points failed.\n", failed, len(c.Points))
	}
	return b.String()
}
