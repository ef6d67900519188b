package yamljson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

func TestConvert(t *testing.T) {
	for in, want := range map[string]string{
		"a: b":                         `{"a":"b"}`,
		"a: 1\nb: true\nc: 1.5\nd: ~":  "{\"a\":1,\n\"b\":true,\n\"c\":1.5,\n\"d\":null}",
		"a: 010\nb: 0x10\nc: 1_000":    "{\"a\":\"010\",\n\"b\":\"0x10\",\n\"c\":\"1_000\"}",
		"a: yes\nb: on\nc: True":       "{\"a\":\"yes\",\n\"b\":\"on\",\n\"c\":\"True\"}",
		"mac: 52:54:00:12:34:56":       `{"mac":"52:54:00:12:34:56"}`,
		"a: 2026-01-01\nb: .inf":       "{\"a\":\"2026-01-01\",\n\"b\":\".inf\"}",
		"# c\n\na:\n  - b\n  - c: d\n": "\n\n{\"a\":\n[\"b\",\n{\"c\":\"d\"}]}",
		"{a: [1, 2]}":                  `{"a":[1,2]}`,
		"a: |\n  x\n  y\nb: 1":         "{\"a\":\"x\\ny\\n\",\n\n\n\"b\":1}",
		"a: &x {b: 1}\nc: *x\nd: 2":    "{\"a\":{\"b\":1},\n\"c\":{\"b\":1},\n\"d\":2}",
		"a: &x\n  b: 1\nc: [*x, *x]":   "{\"a\":{\n\"b\":1},\n\"c\":[{\"b\":1},{\"b\":1}]}",
		"a: <>&":                       "{\"a\":\"\\u003c\\u003e\\u0026\"}",
		"---\na: b\n...\n":             "\n{\"a\":\"b\"}",
	} {
		got, err := yamljson.Convert([]byte(in))
		if err != nil || string(got) != want+"\n" {
			t.Errorf("%q:\n got %q, %v\nwant %q", in, got, err, want)
		}
	}
}

// bomb is an alias for ten aliases for ten aliases …
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestWhatMakesNoSenseIsNamedWithItsLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "1: the file is empty",
		"# nothing":                    "1: the file is empty",
		"a: b\n c: d":                  "2: mapping values",
		"a: [":                         "did not find expected node content",
		"a: b\n---\nc: d":              "second document",
		"a: !!binary aGk=":             "1: found the tag !!binary",
		"a: !x b":                      "1: found the tag !x",
		"a: !x {}":                     "1: found the tag !x",
		"a: *b":                        "unknown anchor 'b'",
		"a: &a [*a]":                   "1: the alias *a stands inside of what it stands for",
		"x: &x {b: 1}\nc:\n  <<: *x":   "3: << is not understood",
		"? [a]\n: b":                   "1: found a list, an object or an alias where a key belongs",
		bomb():                         "its aliases say too much",
		strings.Repeat("[", 100):       "",
		strings.Repeat("[", 100000):    "",
		strings.Repeat("a: {", 100000): "",
		strings.Repeat("- ", 100000):   "",
		strings.Repeat("[", 50) + strings.Repeat("]", 50): "more than 32 levels deep",
		strings.Repeat("a", yamljson.MaxInput+1):          "0: more than 1024 KiB",
		"a: \xff":                                         "",
	} {
		_, err := yamljson.Convert([]byte(in))
		var e *yamljson.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: got %v, want %s", in, err, want)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add("a: &x [1, {b: c}]\nd: *x\n")
	f.Add(bomb())
	f.Add("a: |\n x\n\n\n y\nb: >-\n z\n")
	f.Fuzz(func(t *testing.T, in string) {
		out, err := yamljson.Convert([]byte(in))
		if err == nil && !json.Valid(out) {
			t.Errorf("%q became %q", in, out)
		}
		if err != nil && !errors.As(err, new(*yamljson.Error)) {
			t.Errorf("%q: %v", in, err)
		}
	})
}
