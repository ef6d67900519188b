package main

import (
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
)

// Each command of the table is done here or names the program that does it.
func TestEveryCommandIsDone(t *testing.T) {
	for _, name := range flags.Names() {
		c, do := command(name, time.Time{})
		if c == nil || c.Name != name {
			t.Errorf("command %s: found %+v", name, c)
			continue
		}
		if (do == nil) != (c.Program != "") {
			t.Errorf("%s: is done here: %v, and by the program %q", name, do != nil, c.Program)
		}
	}
	if c, do := command("nothing", time.Time{}); c != nil || do != nil {
		t.Errorf("a command that isn't there: %+v", c)
	}
}

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
		code, text := ending(r, exit.Signal+2)
		if code != want || text == "" {
			t.Errorf("%v: %d %q, want %d", r, code, text, want)
		}
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "6", "129", "130", "131", "143"} {
		if !documented[code] {
			t.Errorf("code %s is not in the table", code)
		}
	}
}
