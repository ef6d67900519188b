package soft

import (
	"bytes"
	"os"
	osexec "os/exec"
	"testing"
)

// fastops.go is as genfast writes it.
func TestFastOpsAreCurrent(t *testing.T) {
	want, err := osexec.Command("go", "run", "./genfast", "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("fastops.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("fastops.go is not what genfast writes: run go generate here")
	}
}
