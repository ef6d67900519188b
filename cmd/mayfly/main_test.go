package main

import (
	"testing"
	"time"

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
