package option

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrHelp is returned by Parse for --help and -h.
var ErrHelp = errors.New("help is wanted")

// UsageError is a command line that can't be understood.
type UsageError struct {
	Command string // empty: the program itself
	Msg     string
	Err     error // what a flag's Set returned, if that was it
}

// Unwrap returns the flag's own error.
func (e *UsageError) Unwrap() error { return e.Err }

// Error is one line: what was found and what can be.
func (e *UsageError) Error() string {
	if e.Command == "" {
		return e.Msg
	}
	return e.Command + ": " + e.Msg
}

// Parse sets the flags found in args and returns what is left, in its order. Flags and operands may be mixed; "--" ends the
// flags. A value follows after "=" or as the next argument. Of a flag given twice the last one counts, unless it takes many.
// Flags that are First are set before the others. Errors are *[UsageError] or [ErrHelp].
func (c *Command) Parse(args []string) (operands []string, err error) {
	for i := range c.Flags {
		if c.Flags[i].First {
			if _, err := c.parse(args, true); err != nil {
				return nil, err
			}
			break
		}
	}
	if operands, err = c.parse(args, false); err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(operands, ""):
		return nil, c.usage("found an empty argument: is a variable of the shell not set?")
	case len(operands) > c.MaxArgs && c.MaxArgs == 0:
		return nil, c.usage("found %q, but it takes no operand", operands[0])
	case len(operands) > c.MaxArgs:
		return nil, c.usage("found %q after %q: one %s at a time", operands[c.MaxArgs], operands[c.MaxArgs-1], strings.Trim(c.Operands, "[]"))
	case len(operands) < c.MinArgs:
		return nil, c.usage("%s is missing", c.Operands)
	}
	return operands, nil
}

// parse sets the flags that are First, or the others.
func (c *Command) parse(args []string, first bool) (operands []string, err error) {
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		if a == "--" {
			operands = append(operands, args...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			operands = append(operands, a)
			continue
		}
		if a == "--help" || a == "-h" || a == "-help" {
			return nil, ErrHelp
		}
		f, value, inline, err := c.find(a)
		if err != nil {
			return nil, err
		}
		switch {
		case f.Arg == "" && inline && f.Type != Boolean:
			return nil, c.usage("%s takes no value, found %q", flagName(f), value)
		case f.Arg != "" && !inline && !f.Optional:
			if len(args) == 0 {
				return nil, c.usage("%s wants a value: %s %s", flagName(f), flagName(f), f.Arg)
			}
			value, args = args[0], args[1:]
		}
		if f.First != first {
			continue
		}
		if err := f.set(value); err != nil {
			return nil, c.usage("%s %q: %w", flagName(f), value, err)
		}
	}
	return operands, nil
}

// set takes a value that was typed.
func (f *Flag) set(value string) error {
	if f.Groups != nil {
		return f.Groups.Add().Set(value)
	}
	if f.Values != nil && (value != "" || !f.Optional) {
		for _, v := range f.Values {
			if v == value {
				return f.Set(value)
			}
		}
		if near := Nearest(value, f.Values); near != "" {
			return fmt.Errorf("did you mean %s? It is one of %s", near, list(f.Values))
		}
		return fmt.Errorf("it is one of %s", list(f.Values))
	}
	return f.Set(value)
}

// find returns an argument's flag; inline: a value follows after "=".
func (c *Command) find(arg string) (f *Flag, value string, inline bool, err error) {
	name, value, inline := strings.Cut(arg, "=")
	for i := range c.Flags {
		f := &c.Flags[i]
		if name == "--"+f.Name || f.Short != 0 && name == "-"+string(rune(f.Short)) {
			return f, value, inline, nil
		}
	}
	names := namesOf(c.Flags)
	for i := range names {
		names[i] = "--" + names[i]
	}
	if near := Nearest("--"+strings.TrimLeft(name, "-"), names); near != "" {
		return nil, "", false, c.usage("there is no flag %s; did you mean %s?", name, near)
	}
	return nil, "", false, c.usage("there is no flag %s", name)
}

func (c *Command) usage(format string, a ...any) error {
	err := fmt.Errorf(format, a...)
	return &UsageError{c.Name, err.Error(), errors.Unwrap(err)}
}

func flagName(f *Flag) string { return "--" + f.Name }

func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
