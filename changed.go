package mayfly

import (
	"fmt"
	"os"
)

// changedError is a file that is no longer what it was when it was opened.
type changedError string

// Error says which file, what happened to it and what to do.
func (e changedError) Error() string {
	return string(e) + ": replace files by renaming another over them, or use --load=copy, which needs them only at a start"
}

// changedFile is about the first file that was changed in place, nil if none
// was. A file that was replaced by renaming is still there for who has it open.
// mappedOnly leaves out those that were only read from.
func (vm *VM) changedFile(mappedOnly bool) error {
	matters := func(f *os.File) bool { return !mappedOnly || vm.plan.layout.Maps(f) }
	if matters(vm.image.File) {
		if what := vm.image.Changed(); what != "" {
			return changedError(what)
		}
	}
	for i := range vm.initrds {
		if f := &vm.initrds[i]; matters(f.File) {
			if what := f.Changed(); what != "" {
				return changedError(what)
			}
		}
	}
	return nil
}

// memoryLost ends the machine because a file under it was cut short, or else
// because the host could not provide guest memory.
func (b *board) memoryLost(detail string) {
	if err := b.vm.changedFile(true); err != nil {
		b.end(Outcome{Reason: ImageChanged, Detail: err.Error()})
		return
	}
	b.fail(fmt.Errorf("guest memory: %s", detail))
}

// explain looks for a changed file behind a machine's end. A guest that fails
// with one under it has not failed by itself; one that came to an orderly end has
// its way, and a word about it.
func (vm *VM) explain(o Outcome) Outcome {
	switch o.Reason {
	case PowerOff, Halted, Rebooted, Panicked, TripleFault, InternalError, FailedEntry:
	default:
		return o
	}
	err := vm.changedFile(true)
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
