package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What the program links, it initialises at each start, used or not. These cost much, or import what does.
func TestProgramIsSlim(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	linked := strings.Fields(string(out))
	if len(linked) < 20 {
		t.Fatalf("go list names %d packages", len(linked))
	}
	for _, p := range linked {
		if strings.HasPrefix(p, "github.com/klauspost/compress") || strings.HasPrefix(p, "github.com/ulikunitz/xz") || strings.HasPrefix(p, "compress/") {
			t.Errorf("the command links %s: mayfly-unpack is for unpacking", p)
		}
		if strings.Contains(p, "yaml") {
			t.Errorf("the command links %s: mayfly-config is for reading it", p)
		}
		if strings.HasSuffix(p, "cmd/internal/reference") {
			t.Errorf("the command links %s: mayfly-doc is for generating text", p)
		}
		switch p {
		case "net", "net/http", "crypto/tls", "regexp", "text/template", "html/template", "os/exec", "os/user", "flag", "testing", "expvar", "math/big", "crypto/rand":
			t.Errorf("the command links %s", p)
		}
	}
}
