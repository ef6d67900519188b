package ending

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
)

// Each end of a machine has a code, and each code is explained.
func TestEveryEndHasItsDocumentedCode(t *testing.T) {
	documented := map[string]bool{}
	for _, table := range flags.Program("").Tables {
		for _, r := range table.Rows {
			documented[r.Name] = true
		}
	}
	for r, want := range map[mayfly.Reason]int{
		mayfly.PowerOff: 0, mayfly.Halted: 0, mayfly.Rebooted: 0, mayfly.Panicked: 3, mayfly.TripleFault: 4, mayfly.Hung: 4, mayfly.InternalError: 5,
		mayfly.FailedEntry: 5, mayfly.ImageChanged: 6, mayfly.Killed: 130, mayfly.HostError: 1,
	} {
		code, messages := Describe(mayfly.Outcome{Reason: r}, nil, exit.Signal+2)
		if code != want || len(messages) != 1 || messages[0].Important != (want != 0) {
			t.Errorf("%v: %d %v, want %d", r, code, messages, want)
		}
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "6", "129", "130", "131", "143"} {
		if !documented[code] {
			t.Errorf("code %s is not in the table", code)
		}
	}
}

func TestDescribe(t *testing.T) {
	full := errors.New("no space left on device")
	for name, c := range map[string]struct {
		outcome mayfly.Outcome
		err     error
		code    int
		want    []Message
	}{
		"power-off": {outcome: mayfly.Outcome{Reason: mayfly.PowerOff}, code: exit.OK, want: []Message{{"the guest powered off", false}}},
		"restart":   {outcome: mayfly.Outcome{Reason: mayfly.PowerOff, Restarts: 1}, code: exit.OK, want: []Message{{"the guest powered off after a restart", false}}},
		"panic":     {outcome: mayfly.Outcome{Reason: mayfly.Panicked, Restarts: 2, Detail: " at 0x0\n"}, code: exit.Panic, want: []Message{{"the guest's kernel panicked after 2 restarts: at 0x0", true}}},
		"killed":    {outcome: mayfly.Outcome{Reason: mayfly.Killed, Detail: "by Kill"}, code: exit.OK, want: []Message{{"the machine was killed", false}}},
		"lost":      {outcome: mayfly.Outcome{Reason: mayfly.PowerOff, Lost: 5, LostCause: full}, code: exit.Error, want: []Message{{"5 bytes of the guest's output were lost: no space left on device", true}, {"the guest powered off", true}}},
		"maybe":     {outcome: mayfly.Outcome{Reason: mayfly.Hung, LostCause: full}, code: exit.Crash, want: []Message{{"the guest's output may be incomplete: no space left on device", true}, {"the guest hung", true}}},
		"error":     {outcome: mayfly.Outcome{Lost: 5, LostCause: full}, err: full, code: exit.Error, want: []Message{{"5 bytes of the guest's output were lost: no space left on device", true}, {"no space left on device", true}}},
	} {
		code, got := Describe(c.outcome, c.err, exit.OK)
		if diff := cmp.Diff(c.want, got); code != c.code || diff != "" {
			t.Errorf("%s: code %d, want %d %s", name, code, c.code, diff)
		}
	}
}
