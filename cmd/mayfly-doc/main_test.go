package main

import (
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
)

// Each command that the table leaves to this program is done here, and no other one.
func TestEveryCommandIsDone(t *testing.T) {
	for _, name := range flags.Names() {
		c, do := command(name)
		mine := flags.Command(name).Program == flags.DocProgram
		if (do != nil) != mine || mine && c.Name != name {
			t.Errorf("%s: is done here: %v, and the table says %v", name, do != nil, mine)
		}
	}
}
