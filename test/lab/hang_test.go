package lab_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/lab"
)

// TestNestThatHangsIsGivenUp makes the nest's kernel panic and stay there.
func TestNestThatHangsIsGivenUp(t *testing.T) {
	_, err := lab.Run(t.Context(), lab.Job{
		Program: probe(t), Args: []string{"panic-kernel"}, Nest: true, KernelArgs: "panic=0",
		Timeout: time.Minute, SilentLimit: 15 * time.Second,
	})
	var nest *lab.NestError
	if !errors.As(err, &nest) {
		t.Fatalf("error %v, want a NestError", err)
	}
	for _, want := range []string{"gave no sign of life within 15s", "sysrq triggered crash"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}
