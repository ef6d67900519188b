package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
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
		"\n{\"a\":\n1, \"b\": [true,\n \"x\\ny\"]}":       "{a@2=1@3 b@3=[true@3 x\ny@4]@3}@2",
		`{"a": null, "b": 1e3}`:                           "{a@1=@1 b@1=1e3@1}@1",
		`["\u00e4\ud83d\ude00\n\/\"\\\b\f\r\t", -0.5e-3]`: "[ä😀\n/\"\\\b\f\r\t@1 -0.5e-3@1]@1",
		`[]`: "[]@1",
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
		"":                           {1, "found the end of the file where a value belongs"},
		"{\n\"a\": ":                 {2, "found the end of the file where a value belongs"},
		"{\n\"a\": \"":               {2, "ends inside of a string"},
		"{\"a\": 1,\n\"a\": 2}":      {2, `"a" is given twice, first in line 1`},
		"{\"a\": 1,\n\n}":            {3, "found '}' where a name"},
		"{\"a\": 1\n\"b\": 2}":       {2, `found '"' after the value of "a"`},
		"{\"a\"\n1}":                 {2, `found '1' after "a": a colon`},
		"{a: 1}":                     {1, "found 'a' where a name"},
		"[1 2]":                      {1, "found '2' after a value of a list"},
		"[1,]":                       {1, "found ']' where a value"},
		"{\"a\": 1}\n{}":             {2, "found '{' after the end"},
		"{\"a\":\n01}":               {2, "found a number that begins with 0"},
		"{\"a\":\n1.}":               {2, "found '}' in a number"},
		"{\"a\":\n-}":                {2, "found '}' in a number"},
		"{\"a\":\n1e+}":              {2, "found '}' in a number"},
		"{\"a\":\ntrue false}":       {2, "found 'f' after"},
		"{\"a\":\nyes}":              {2, "found 'y' where a value"},
		"{\n// a comment\n}":         {2, "found '/' where a name"},
		"{\"a\":\n\n\"\xff\"}":       {3, "not UTF-8"},
		"{\"a\": \"\n\"}":            {1, "found '\\n' in a string"},
		`{"a": "\x"}`:                {1, "an escape"},
		`{"a": "\u12"}`:              {1, "an escape"},
		`{"a": "\ud800"}`:            {1, "an escape"},
		`{"a": "\ud800\u0041"}`:      {1, "an escape"},
		`{"a": "\udc00"}`:            {1, "an escape"},
		`{"a": "\u00`:                {1, "an escape"},
		`{"a": "\`:                   {1, "an escape"},
		`{"a": "\u00g0"}`:            {1, "an escape"},
		`{"a": "\u00 1"}`:            {1, "an escape"},
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
		// The standard library agrees, but for what is stricter here.
		if err == nil && !json.Valid(b) {
			t.Errorf("%q is no JSON", b)
		}
		if err != nil && json.Valid(b) && !strings.Contains(err.Error(), "twice") && !strings.Contains(err.Error(), "UTF-8") && !strings.Contains(err.Error(), "levels") && !strings.Contains(err.Error(), "escape") {
			t.Errorf("%q is JSON: %v", b, err)
		}
	})
}
