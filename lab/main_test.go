package lab

import (
	"slices"
	"testing"
	"time"
)

func TestTestFlagsAreTranslated(t *testing.T) {
	f := translate([]string{
		"-test.paniconexit0", "-test.testlogfile=/x/log", "-test.timeout=10m0s", "-test.v=true", "-test.run=^TestX$",
		"-test.coverprofile=/y/c.out", "-test.cpuprofile=cpu", "-test.outputdir=/z", "-test.gocoverdir=/g", "-custom", "rest", "-test.v=false",
	})
	want := []string{
		"-test.paniconexit0", "-test.timeout=10m0s", "-test.v=true", "-test.run=^TestX$",
		"-test.coverprofile=coverprofile.out", "-test.cpuprofile=cpuprofile.out", "-custom", "rest", "-test.v=false",
	}
	if !slices.Equal(f.args, want) {
		t.Errorf("arguments\n%q, want\n%q", f.args, want)
	}
	if f.timeout != 10*time.Minute {
		t.Errorf("timeout %v", f.timeout)
	}
	if f.outputs["coverprofile.out"] != "/y/c.out" || f.outputs["cpuprofile.out"] != "/z/cpu" || len(f.outputs) != 2 {
		t.Errorf("outputs %v", f.outputs)
	}
}
