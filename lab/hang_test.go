package lab

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestNestThatHangsIsGivenUp makes the nest's kernel panic and stay there.
func TestNestThatHangsIsGivenUp(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a machine")
	}
	defer func(d time.Duration) { silentLimit = d }(silentLimit)
	silentLimit = 15 * time.Second
	probe, err := Build(t.Context(), "github.com/mayfly-vm/mayfly/lab/internal/probe")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), Job{Program: probe, Args: []string{"panic-kernel"}, Nest: true, KernelArgs: "panic=0", Timeout: time.Minute})
	var nest *NestError
	if !errors.As(err, &nest) {
		t.Fatalf("error %v, want a NestError", err)
	}
	for _, want := range []string{"gave no sign of life within 15s", "sysrq triggered crash"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
}
