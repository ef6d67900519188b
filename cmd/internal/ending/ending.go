// Package ending describes how a machine ended: to people, and as an exit code.
package ending

import (
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
)

// Message is a line for the user. One that isn't important describes a success.
type Message struct {
	Text      string
	Important bool
}

// Describe returns the exit code and messages for what a machine's Wait returned; killed is the code of a machine that a
// signal or a key killed. Lost output makes a success an error.
func Describe(outcome mayfly.Outcome, err error, killed int) (code int, messages []Message) {
	lost := outcome.Lost > 0 || outcome.LostCause != nil
	switch {
	case lost && outcome.Lost == 0:
		messages = append(messages, Message{fmt.Sprintf("the guest's output may be incomplete: %v", outcome.LostCause), true})
	case lost:
		messages = append(messages, Message{fmt.Sprintf("%d bytes of the guest's output were lost: %v", outcome.Lost, outcome.LostCause), true})
	}
	if err != nil {
		return exit.Error, append(messages, Message{report.Explain(err), true})
	}
	code, text := reason(outcome.Reason, killed)
	if lost && code == exit.OK {
		code = exit.Error
	}
	switch outcome.Restarts {
	case 0:
	case 1:
		text += " after a restart"
	default:
		text += fmt.Sprintf(" after %d restarts", outcome.Restarts)
	}
	if d := strings.TrimSpace(outcome.Detail); d != "" && outcome.Reason != mayfly.Killed {
		text += ": " + d
	}
	if outcome.Reason == mayfly.ImageChanged {
		text += " (--load=copy)" // the library's detail says to load by copying
	}
	return code, append(messages, Message{text, code != exit.OK})
}

// reason returns the exit code of a machine's end, and its description.
func reason(r mayfly.Reason, killed int) (code int, text string) {
	switch r {
	case mayfly.PowerOff:
		return exit.OK, "the guest powered off"
	case mayfly.Halted:
		return exit.OK, "the guest halted"
	case mayfly.Rebooted:
		return exit.OK, "the guest rebooted"
	case mayfly.Panicked:
		return exit.Panic, "the guest's kernel panicked"
	case mayfly.TripleFault:
		return exit.Crash, "the guest crashed"
	case mayfly.Hung:
		return exit.Crash, "the guest hung"
	case mayfly.InternalError, mayfly.FailedEntry:
		return exit.KVM, "the guest could not be run"
	case mayfly.ImageChanged:
		return exit.Image, "a file that the guest was loaded from changed under it"
	case mayfly.Killed:
		return killed, "the machine was killed"
	}
	return exit.Error, "the machine ended: " + string(r)
}
