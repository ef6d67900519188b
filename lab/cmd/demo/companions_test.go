package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/lab"
)

// The demo's doctor finds the programs that were just built, wherever mayfly is.
func TestDoctorFindsCompanions(t *testing.T) {
	t.Chdir("../../..") // packages are named from the root
	mayfly, err := lab.Build(t.Context(), "./cmd/mayfly")
	if err != nil {
		t.Fatal(err)
	}
	path, err := companions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(mayfly, "doctor")
	c.Env = append(os.Environ(), "PATH="+path)
	out, _ := c.Output() // its exit code is about KVM
	for _, name := range []string{"mayfly-unpack", "mayfly-config", "mayfly-usernet", "mayfly-doc"} {
		found := false
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, name) && strings.HasPrefix(line, "ok") {
				found = true
			}
		}
		if !found {
			t.Errorf("no ok for %s in\n%s", name, out)
		}
	}
}
