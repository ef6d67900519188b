// Package safetext makes text that others chose, such as names in files, harmless
// to the terminal that shows it: what isn't printable is escaped as in Go's
// strings. That is each control character, each byte that isn't UTF-8, and what
// changes the direction of text.
package safetext

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line escapes all that isn't printable, line ends too.
func Line(s string) string { return escape(s, "") }

// Lines is Line, but leaves tabs and line ends as they are.
func Lines(s string) string { return escape(s, "\t\n") }

// Message is Lines for a message of several lines: those after the first are
// indented, so that none of them is taken for another message.
func Message(s string) string {
	s = Lines(s)
	if !strings.Contains(s, "\n") {
		return s
	}
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if i > 0 && l != "" && l[0] != ' ' {
			lines[i] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}

func escape(s, keep string) string {
	clean := func(r rune, n int) bool {
		return (r != utf8.RuneError || n > 1) && (strconv.IsPrint(r) || strings.ContainsRune(keep, r))
	}
	i := 0
	for i < len(s) { // most texts are as they should be
		r, n := utf8.DecodeRuneInString(s[i:])
		if !clean(r, n) {
			break
		}
		i += n
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:i])
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case clean(r, n):
			b.WriteString(s[i : i+n])
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// JSON escapes in an encoded value what JSON leaves as it is and isn't printable.
// Outside of strings JSON has none of these, so the value stays the same.
func JSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, r := range string(b) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			out = utf8.AppendRune(out, r)
		case r > 0xFFFF:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
