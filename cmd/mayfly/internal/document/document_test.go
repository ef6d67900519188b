package document_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/document"
)

// show writes a tree with its lines.
func show(n *document.Node) string {
	switch n.Kind {
	case document.Object:
		var b strings.Builder
		for _, m := range n.Members {
			fmt.Fprintf(&b, "%s@%d=%s ", m.Name, m.Line, show(m.Value))
		}
		return fmt.Sprintf("{%s}@%d", strings.TrimSpace(b.String()), n.Line)
	case document.Array:
		var b strings.Builder
		for _, i := range n.Items {
			b.WriteString(show(i) + " ")
		}
		return fmt.Sprintf("[%s]@%d", strings.TrimSpace(b.String()), n.Line)
	}
	return fmt.Sprintf("%s@%d", n.Text, n.Line)
}

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: "{}@1",
		"\n{\"a\":\n1, \"b\": [true,\n \"x\\ny\"]}": "{a@2=1@3 b@3=[true@3 x\ny@4]@3}@2",
		`{"a": null, "b": 1e3}`:                     "{a@1=@1 b@1=1e3@1}@1",
		`[]`:                                        "[]@1",
	} {
		n, err := document.Parse([]byte(in))
		if err != nil || show(n) != want {
			t.Errorf("%q: %v, want %s", in, err, want)
			if err == nil {
				t.Error(show(n))
			}
		}
	}
}

func TestWhatMakesNoSenseIsNamedWithItsLine(t *testing.T) {
	for in, want := range map[string]struct {
		line int
		msg  string
	}{
		"":                           {1, "it ends too early"},
		"{\n\"a\": ":                 {2, "it ends too early"},
		"{\n\"a\": \"":               {2, "it ends too early"},
		"{\"a\": 1,\n\"a\": 2}":      {2, `"a" is there twice, in line 1 already`},
		"{\"a\": 1,\n\n}":            {3, "invalid character '}'"},
		"{\"a\": 1}\n{}":             {2, "more behind the end"},
		"{\"a\":\n01}":               {2, "invalid character '1'"},
		"{\"a\":\ntrue false}":       {2, "invalid character 'f'"},
		"{\n// a comment\n}":         {2, "invalid character '/'"},
		"{\"a\":\n\n\"\xff\"}":       {3, "not UTF-8"},
		"{\"a\": \"\n\"}":            {1, "invalid character '\\n'"},
		strings.Repeat("[", 100):     {1, "more than 16 levels deep"},
		strings.Repeat(`{"":`, 9999): {1, "more than 16 levels deep"},
	} {
		_, err := document.Parse([]byte(in))
		var e *document.Error
		if !errors.As(err, &e) || e.Line != want.line || !strings.Contains(e.Msg, want.msg) {
			t.Errorf("%.40q: got %+v, want %+v", in, err, want)
		}
	}
}

func TestFilesAreBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.json")
	if err := os.WriteFile(path, make([]byte, document.MaxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, "/dev/zero"} {
		var e *document.Error
		if _, err := document.Read(p); !errors.As(err, &e) || !strings.Contains(err.Error(), p+": more than 1024 KiB") {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("{\"a\":\n[1, {\"b\": null}]}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := document.Parse(b)
		if err != nil && !errors.As(err, new(*document.Error)) || err == nil && n == nil {
			t.Errorf("%q: %v", b, err)
		}
	})
}
