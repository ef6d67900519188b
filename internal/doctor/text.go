package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Write prints the report for people, a line for each thing and below it what to do.
func (r Report) Write(w io.Writer) error {
	width := 0
	for _, l := range r.Lines {
		width = max(width, len(l.Name))
	}
	var b strings.Builder
	for _, l := range r.Lines {
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", l.Status, width, l.Name, l.Found)
		if l.Do != "" {
			fmt.Fprintf(&b, "%-4s  %-*s  do: %s\n", "", width, "", l.Do)
		}
	}
	switch {
	case r.Ready:
		b.WriteString("\nMachines can run here.\n")
	case r.Auto.Linux == bySoft:
		b.WriteString("\nNo machine can run on KVM here: see the lines marked FAIL. “mayfly run” takes the software processor, which is slower (--cpu).\n")
	default:
		b.WriteString("\nNo machine can run here: see the lines marked FAIL.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
