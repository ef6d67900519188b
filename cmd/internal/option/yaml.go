package option

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// YAML writes what the flags set as a configuration file that sets the same, and the flags' defaults. It
// leaves out keys of groups with their defaults. An error is a value that such a file can't hold.
func YAML(flags []Flag) (string, error) {
	if err := checkUTF8(flags, ""); err != nil {
		return "", err
	}
	var b strings.Builder
	for i := range flags {
		f := &flags[i]
		if f.Groups != nil {
			writeGroups(&b, f)
			continue
		}
		if f.Get == nil {
			continue
		}
		values := f.Get()
		if len(values) == 0 && f.Default != "" {
			values = []string{f.Default}
		}
		writeValues(&b, "", f, values)
	}
	return b.String(), nil
}

// checkUTF8 finds a value that isn't UTF-8, as file names may be; at is the name of what holds the flags.
func checkUTF8(flags []Flag, at string) error {
	for i := range flags {
		f := &flags[i]
		if f.Groups != nil {
			for _, g := range f.Groups.Each() {
				if err := checkUTF8(g.Keys, at+f.Name+": "); err != nil {
					return err
				}
			}
			continue
		}
		if f.Get == nil {
			continue
		}
		for _, v := range f.Get() {
			if !utf8.ValidString(v) {
				return fmt.Errorf("%s%s: %q is not UTF-8, which a configuration file must be: rename the file, or start the machine by flags alone", at, f.Name, v)
			}
		}
	}
	return nil
}

func writeValues(b *strings.Builder, indent string, f *Flag, values []string) {
	switch {
	case len(values) == 0:
	case !f.Many:
		b.WriteString(indent + f.Name + ": " + scalar(f, values[0]) + "\n")
	default:
		b.WriteString(indent + f.Name + ":\n")
		for _, v := range values {
			b.WriteString(indent + "  - " + scalar(f, v) + "\n")
		}
	}
}

func writeGroups(b *strings.Builder, f *Flag) {
	all := f.Groups.Each()
	if len(all) == 0 {
		return
	}
	for i, g := range all {
		var keys strings.Builder
		indent := "  "
		if f.Many {
			indent = "    "
		}
		for j := range g.Keys {
			if k := &g.Keys[j]; k.Get != nil {
				writeValues(&keys, indent, k, k.Get())
			}
		}
		text := keys.String()
		switch {
		case f.Many && i == 0:
			b.WriteString(f.Name + ":\n")
		case !f.Many && text != "":
			b.WriteString(f.Name + ":\n" + text)
			continue
		case !f.Many:
			b.WriteString(f.Name + ": true\n")
			continue
		}
		if text == "" {
			text = indent + "{}\n"
		}
		b.WriteString("  - " + text[len(indent):])
	}
}

// scalar writes a value as its type wants it; a string only in quotes where YAML could take it for something else.
func scalar(f *Flag, s string) string {
	if f.Type == Boolean || f.Type == Integer || plain(s) {
		return s
	}
	return strconv.Quote(s) // whose escapes are all YAML's too
}

// plain reports whether s is a string without quotes too: it begins with a letter or a slash, and is none of YAML's
// literals.
func plain(s string) bool {
	if s == "" || s[0] != '/' && (s[0]|0x20 < 'a' || s[0]|0x20 > 'z') {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("/._-+,=@", rune(c)) {
			return false
		}
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	return true
}
