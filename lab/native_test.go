package lab

import (
	"os"
	"path/filepath"
	"testing"
)

// A job's files are found by their names natively too, as in the nest.
func TestNativeJobFindsItsFiles(t *testing.T) {
	host := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(host, []byte("#!/bin/sh\nexit 7\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := runNative(t.Context(), Job{Program: "/bin/sh", Args: []string{"-c", "mayfly-job-file"}, Files: map[string]string{"mayfly-job-file": host}, Timeout: DefaultTimeout}, Place{Native: true})
	if err != nil || r.ExitCode != 7 {
		t.Errorf("exit code %d, %v: %s", r.ExitCode, err, r.Output)
	}
}
