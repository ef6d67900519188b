package monitor

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// The programs of compiled.go are the policies'.
func TestPrograms(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("// Made by go test -update. DO NOT EDIT.\n\npackage monitor\n\n")
	for _, p := range []struct {
		name, doc string
		policy    seccomp.Policy
	}{
		{"processProgram", "processPolicy, compiled", processPolicy(somePID)},
		{"vcpuProgram", "vcpuPolicy, compiled", vcpuPolicy(somePID)},
	} {
		prog, err := p.policy.Compile()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "// %s is %s.\nvar %s = []uint64{", p.name, p.doc, p.name)
		for i, in := range prog {
			if i%6 == 0 {
				b.WriteString("\n")
			}
			fmt.Fprintf(&b, "%#x, ", uint64(in.Code)|uint64(in.Jt)<<16|uint64(in.Jf)<<24|uint64(in.K)<<32)
		}
		b.WriteString("\n}\n\n")
	}
	want, err := format.Source(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	have, _ := os.ReadFile("compiled.go")
	if bytes.Equal(have, want) {
		return
	}
	if !*update {
		t.Fatal("compiled.go does not have the policies: go test ./internal/confine/monitor -update")
	}
	if err := os.WriteFile("compiled.go", want, 0o600); err != nil {
		t.Fatal(err)
	}
}
