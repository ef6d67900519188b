package reference

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Schema is the JSON schema (2020-12) of the configuration file that Apply reads.
func Schema(title string, flags []option.Flag) string {
	var b strings.Builder
	b.WriteString("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n  \"title\": " + quoted(title) + ",\n")
	b.WriteString("  \"type\": \"object\",\n  \"additionalProperties\": false,\n  \"properties\": {\n    \"$schema\": {\"type\": \"string\"}")
	var groups []*option.Flag
	for i := range flags {
		f := &flags[i]
		if f.Groups != nil {
			groups = append(groups, f)
			ref := `{"$ref": "#/$defs/` + f.Name + `"}`
			if f.Many {
				ref = `"anyOf": [` + ref + `, {"type": "array", "items": ` + ref + `}]`
			} else {
				ref = ref[1 : len(ref)-1]
			}
			b.WriteString(",\n    " + quoted(f.Name) + `: {"description": ` + quoted(f.Help) + ", " + ref + "}")
		} else if f.Get != nil {
			b.WriteString(",\n    " + quoted(f.Name) + ": " + flagSchema(f))
		}
	}
	b.WriteString("\n  },\n  \"$defs\": {")
	for i, f := range groups {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n    " + quoted(f.Name) + ": " + groupSchema(f))
	}
	b.WriteString("\n  }\n}\n")
	return b.String()
}

// groupSchema is an object of keys, or the same as a string.
func groupSchema(f *option.Flag) string {
	var b strings.Builder
	b.WriteString("{\"anyOf\": [\n")
	if f.Optional {
		b.WriteString("      {\"type\": \"boolean\"},\n")
	}
	b.WriteString("      {\"type\": \"string\"},\n      {\"type\": \"object\", \"additionalProperties\": false, ")
	g := f.Groups.Blank()
	var required []string
	for _, k := range g.Keys {
		if k.Required {
			required = append(required, quoted(k.Name))
		}
	}
	if required != nil {
		b.WriteString("\"required\": [" + strings.Join(required, ", ") + "], ")
	}
	b.WriteString("\"properties\": {")
	for i := range g.Keys {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n        " + quoted(g.Keys[i].Name) + ": " + flagSchema(&g.Keys[i]))
	}
	b.WriteString("\n      }}\n    ]}")
	return b.String()
}

// schema is a value's, or that of a list of values where it may be given more than once.
func flagSchema(f *option.Flag) string {
	one := ""
	value := func(s string) string { return quoted(s) }
	switch f.Type {
	case option.Boolean:
		one, value = `"type": "boolean"`, func(s string) string { return s }
	case option.Integer:
		one, value = fmt.Sprintf(`"type": "integer", "minimum": %d, "maximum": %d`, f.Least, f.Most), func(s string) string { return s }
	case option.Bytesize:
		one = fmt.Sprintf(`"type": ["string", "integer"], "pattern": %s, "minimum": %d, "maximum": %d`, quoted(f.Pattern), (f.Least+1<<20-1)>>20, f.Most>>20)
	default:
		one = `"type": "string"`
		switch {
		case f.Values != nil:
			names := make([]string, len(f.Values))
			for i, v := range f.Values {
				names[i] = quoted(v)
			}
			one = `"enum": [` + strings.Join(names, ", ") + `]`
		case f.Pattern != "":
			one += `, "pattern": ` + quoted(f.Pattern)
		}
	}
	about := `"description": ` + quoted(f.Help)
	if f.Default != "" && !strings.ContainsAny(f.Default, " ") {
		about += `, "default": ` + value(f.Default)
	}
	if f.Many {
		return "{" + about + `, "anyOf": [{` + one + `}, {"type": "array", "items": {` + one + "}}]}"
	}
	return "{" + about + ", " + one + "}"
}

// text writes a JSON string.
func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string is always written
	return strings.TrimSuffix(b.String(), "\n")
}
