package machine

import (
	"fmt"
	"os"
)

// changedError is a file that is no longer what it was when it was opened.
type changedError string

// Error says which file, what happened to it and what to do.
func (e changedError) Error() string {
	return string(e) + ": replace files by renaming another over them, or load by copying, which needs them only at a start"
}

// changedFile is about the first file that was changed in place, nil if none
// was. A file that was replaced by renaming is still there for who has it open.
// mappedOnly leaves out those that were only read from.
func (s *Spec) changedFile(mappedOnly bool) error {
	matters := func(f *os.File) bool { return !mappedOnly || s.Plan.Files.Maps(f) }
	if matters(s.Image.File) {
		if what := s.Image.Changed(); what != "" {
			return changedError(what)
		}
	}
	for i := range s.Initrds {
		if f := &s.Initrds[i]; matters(f.File) {
			if what := f.Changed(); what != "" {
				return changedError(what)
			}
		}
	}
	return nil
}

// memoryLost is the end by a file under guest memory that was cut short, or else
// because the host could not provide guest memory.
func (s *Spec) memoryLost(detail string) *ending {
	if err := s.changedFile(true); err != nil {
		return &ending{Outcome: Outcome{Reason: ImageChanged, Detail: err.Error()}}
	}
	return failure(fmt.Errorf("guest memory: %s", detail))
}

// explain looks for a changed file as the cause of a machine's end. A guest that fails
// with one under it has not failed by itself; an orderly end stays what it is, and its
// detail mentions the file.
func (s *Spec) explain(o Outcome) Outcome {
	switch o.Reason {
	case PowerOff, Halted, Rebooted, Panicked, TripleFault, InternalError, FailedEntry:
	default:
		return o
	}
	err := s.changedFile(true)
	switch {
	case err == nil:
	case o.Reason == PowerOff || o.Reason == Halted || o.Reason == Rebooted:
		if o.Detail != "" {
			o.Detail += "; "
		}
		o.Detail += err.Error()
	default:
		o.Detail = fmt.Sprintf("%v\nthe guest ended by: %v: %s", err, o.Reason, o.Detail)
		o.Reason = ImageChanged
	}
	return o
}
