package terminal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// feed gives all of src and writes the commands into the text as <n>.
func feed(e *terminal.Escape, src string) string {
	var all strings.Builder
	for in := []byte(src); len(in) > 0; {
		out, n, a := e.Next(nil, in)
		all.Write(out)
		all.WriteString(map[terminal.Action]string{terminal.Leave: "<leave>", terminal.Help: "<help>", terminal.Break: "<break>"}[a])
		in = in[n:]
	}
	return all.String()
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "ls\r\x03\x1b[A", "ls\r\x03\x1b[A"},
		{"leave", "ab\x01xcd", "ab<leave>cd"},
		{"leave, capital", "\x01X", "<leave>"},
		{"help", "\x01h\x01?\x01H", "<help><help><help>"},
		{"break", "\x01bt", "<break>t"},
		{"literal", "\x01\x01x", "\x01x"},
		{"literal, then leave", "\x01\x01\x01x", "\x01<leave>"},
		{"another key", "\x01f", "\x01f"},
		{"prefix last", "a\x01", "a"},
		{"high bytes", "\x01\xff\xc3\xa9", "\x01\xff\xc3\xa9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := feed(new(terminal.Escape), c.in); got != c.want {
				t.Errorf("at once: %q, want %q", got, c.want)
			}
			var e terminal.Escape
			var got string
			for i := range len(c.in) {
				got += feed(&e, c.in[i:i+1])
			}
			if got != c.want {
				t.Errorf("byte by byte: %q, want %q", got, c.want)
			}
		})
	}
}

func TestHelpSuitsARawTerminal(t *testing.T) {
	if strings.Count(terminal.HelpText, "\n") != strings.Count(terminal.HelpText, "\r\n") {
		t.Fatal("a line doesn't end with CR LF")
	}
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("ab\x01xc\x01\x01\x01h"), 3)
	f.Fuzz(func(t *testing.T, src []byte, cut int) {
		var whole, parts terminal.Escape
		want := feed(&whole, string(src))
		cut = min(max(cut, 0), len(src))
		got := feed(&parts, string(src[:cut])) + feed(&parts, string(src[cut:]))
		if got != want {
			t.Fatalf("in two parts %q, at once %q", got, want)
		}
		out, n, _ := new(terminal.Escape).Next(nil, src)
		if n > len(src) || len(out) > len(src)+1 || n == 0 && len(src) > 0 {
			t.Fatalf("%d bytes in: took %d, gave %d", len(src), n, len(out))
		}
		if !bytes.Contains(src, []byte{terminal.Prefix}) && !bytes.Equal(out, src) {
			t.Fatalf("%q without a prefix became %q", src, out)
		}
	})
}
