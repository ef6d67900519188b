// Package kernelparams reads and joins kernel command lines as Linux does: words
// between blanks, quotes around blanks, and a word "--" that ends the kernel's
// parameters. What follows it are arguments of init, or of the application where the
// kernel is a unikernel. (Linux, lib/cmdline.c, next_arg; kernel/params.c, parse_args.)
package kernelparams

import (
	"iter"
	"strings"
)

// Param is one parameter of the kernel.
type Param struct {
	Name     string // dashes as underscores: Linux takes one for the other
	Value    string // without quotes around it
	HasValue bool
	Text     string // as it stands in the line
}

// All iterates over the kernel's parameters in line, in order.
func All(line string) iter.Seq[Param] {
	return func(yield func(Param) bool) {
		for at := 0; ; {
			w, end, ok := next(line, at)
			if !ok || w.ends() || !yield(w.Param) {
				return
			}
			at = end
		}
	}
}

// Last is the last parameter of that name. For most of them it counts alone.
func Last(line, name string) (last Param, found bool) {
	for p := range All(line) {
		if p.Name == name {
			last, found = p, true
		}
	}
	return last, found
}

// Join makes one line of several: the kernel's parameters of all, then "--" and
// what follows it in each. A quote that one leaves open is closed where more
// follows, for Linux would close it at the end.
func Join(lines ...string) string {
	lines = nonEmpty(lines)
	if len(lines) == 1 {
		return lines[0]
	}
	var params, args []string
	separated := false
	for _, l := range lines {
		kernel, rest, found := split(l)
		if kernel != "" {
			params = append(params, kernel)
		}
		if rest != "" {
			args = append(args, rest)
		}
		separated = separated || found
	}
	if separated {
		params = append(params, "--")
	}
	return strings.Join(append(params, args...), " ")
}

func nonEmpty(lines []string) (list []string) {
	for _, l := range lines {
		if l != "" {
			list = append(list, l)
		}
	}
	return list
}

// split returns the kernel's part of a line and what follows its "--".
func split(line string) (kernel, rest string, found bool) {
	open := false
	for at := 0; ; {
		w, end, ok := next(line, at)
		switch {
		case !ok:
			if kernel = strings.Trim(line, blanks); open {
				kernel = strings.TrimLeft(line, blanks) + `"`
			}
			return kernel, "", false
		case w.ends():
			return strings.Trim(line[:w.from], blanks), strings.Trim(line[end:], blanks), true
		}
		at, open = end, w.open
	}
}

// blanks is what Linux's isspace says yes to. In its table 0xA0 is one too, as a
// byte of UTF-8 text may be; see isBlank.
const blanks = " \t\n\v\f\r"

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0xA0 }

type word struct {
	Param
	from int    // offset in the line
	open bool   // a quote was not closed
	raw  string // the name as it is written, without quotes
}

// ends reports whether the word ends the kernel's parameters.
func (w *word) ends() bool { return !w.HasValue && w.raw == "--" }

// next reads the word at or after offset at and returns where it ends.
func next(line string, at int) (w word, end int, ok bool) {
	for at < len(line) && isBlank(line[at]) {
		at++
	}
	if at == len(line) {
		return w, at, false
	}
	w.from = at
	quoted := line[at] == '"'
	if quoted {
		at++
	}
	equals, in := -1, quoted
	for end = at; end < len(line) && (in || !isBlank(line[end])); end++ {
		switch line[end] {
		case '=':
			if equals < 0 && end > at {
				equals = end
			}
		case '"':
			in = !in
		}
	}
	w.open, w.Text = in, line[w.from:end]
	name := line[at:end]
	if equals >= 0 {
		name, w.Value, w.HasValue = line[at:equals], line[equals+1:end], true
		if inner, cut := strings.CutPrefix(w.Value, `"`); cut {
			w.Value = strings.TrimSuffix(inner, `"`)
		} else if quoted {
			w.Value = strings.TrimSuffix(w.Value, `"`)
		}
	} else if quoted {
		name = strings.TrimSuffix(name, `"`)
	}
	w.raw, w.Name = name, strings.ReplaceAll(name, "-", "_")
	return w, end, true
}
