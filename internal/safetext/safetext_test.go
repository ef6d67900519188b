package safetext

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEscapes(t *testing.T) {
	for _, c := range []struct{ in, line, lines string }{
		{"", "", ""},
		{"disk /a b/ü.img: “x”…", "disk /a b/ü.img: “x”…", "disk /a b/ü.img: “x”…"},
		{"a\nb\tc", `a\nb\tc`, "a\nb\tc"},
		{"a\r\nb", `a\r\nb`, "a\\r\nb"},
		{"\x1b]0;title\x07", `\x1b]0;title\a`, `\x1b]0;title\a`},
		{"\x00\x7f", `\x00\x7f`, `\x00\x7f`},
		{"C1: \u009b31m", `C1: \u009b31m`, `C1: \u009b31m`},
		{"raw C1: \x9b31m", `raw C1: \x9b31m`, `raw C1: \x9b31m`},
		{"\xff\xfe", `\xff\xfe`, `\xff\xfe`},
		{"gpj\u202egnp", `gpj\u202egnp`, `gpj\u202egnp`},
		{"\u2066x\u2069\ufeff", `\u2066x\u2069\ufeff`, `\u2066x\u2069\ufeff`},
		{"line\u2028end", `line\u2028end`, `line\u2028end`},
		{"\ufffd", "\ufffd", "\ufffd"},
		{"\U000e0001", `\U000e0001`, `\U000e0001`},
	} {
		if got := Line(c.in); got != c.line {
			t.Errorf("Line(%q) = %q, want %q", c.in, got, c.line)
		}
		if got := Lines(c.in); got != c.lines {
			t.Errorf("Lines(%q) = %q, want %q", c.in, got, c.lines)
		}
	}
}

func TestMessage(t *testing.T) {
	for in, want := range map[string]string{
		"one":                          "one",
		"crash\n  rax 0\n  rbx 1":      "crash\n  rax 0\n  rbx 1",
		"x\nmayfly: the guest is fine": "x\n  mayfly: the guest is fine",
		"end\n":                        "end\n",
	} {
		if got := Message(in); got != want {
			t.Errorf("Message(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("\x1b]0;x\x07\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Line(s) {
			if !strconv.IsPrint(r) {
				t.Errorf("Line(%q) has %q", s, r)
			}
		}
		if got := Line(Line(s)); got != Line(s) {
			t.Errorf("%q is escaped twice: %q", s, got)
		}
		if !utf8.ValidString(Message(s)) {
			t.Errorf("Message(%q) is not UTF-8", s)
		}
		in, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var was, is string
		if err := json.Unmarshal(in, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(JSON(in), &is); err != nil || is != was {
			t.Errorf("JSON of %q: %q, %v", was, is, err)
		}
		if strings.ContainsFunc(string(JSON(in)), func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("JSON(%q) is not printable", in)
		}
	})
}
