package option

import (
	"errors"
	"fmt"
	"strings"
)

// Group is a value made of keys: "disk.img,readonly,queues=4". A key with its value is a part of the list, a boolean one
// alone is true, and the first part may be the value of the main key alone. Two commas stand for one in a value.
type Group struct {
	Main  string // the key of a first part without "="; empty: there is none
	Keys  []Flag
	Check func() error // of the whole: what is missing, what can't be together; may be nil
}

// Groups is where a flag's groups are kept.
type Groups interface {
	Add() *Group    // one for a value: a new one, or the only one that there can be
	Each() []*Group // those that there are
	Blank() *Group  // one that is kept nowhere: for its keys' descriptions
}

// ManyOf keeps each value as an element of a list.
func ManyOf[T any](list *[]T, keys func(*T) *Group) Groups { return manyOf[T]{list, keys} }

type manyOf[T any] struct {
	list *[]T
	keys func(*T) *Group
}

func (m manyOf[T]) Add() *Group {
	*m.list = append(*m.list, *new(T))
	return m.keys(&(*m.list)[len(*m.list)-1])
}

func (m manyOf[T]) Each() (all []*Group) {
	for i := range *m.list {
		all = append(all, m.keys(&(*m.list)[i]))
	}
	return all
}

func (m manyOf[T]) Blank() *Group { return m.keys(new(T)) }

// OneOf keeps the only one: a second value goes on with the first.
func OneOf[T any](p **T, keys func(*T) *Group) Groups { return oneOf[T]{p, keys} }

type oneOf[T any] struct {
	p    **T
	keys func(*T) *Group
}

func (o oneOf[T]) Add() *Group {
	if *o.p == nil {
		*o.p = new(T)
	}
	return o.keys(*o.p)
}

func (o oneOf[T]) Each() []*Group {
	if *o.p == nil {
		return nil
	}
	return []*Group{o.keys(*o.p)}
}

func (o oneOf[T]) Blank() *Group { return o.keys(new(T)) }

// Set reads a whole value.
func (g *Group) Set(value string) error {
	seen := make(map[string]bool)
	for i, part := range splitParts(value) {
		if part == "" {
			if value == "" {
				break
			}
			return errors.New("nothing between two commas, or after the last; two commas together stand for one in a value")
		}
		f, text, err := g.part(part, i == 0)
		if err != nil {
			return err
		}
		if seen[f.Name] && !f.Many {
			return fmt.Errorf("%s is given twice", f.Name)
		}
		seen[f.Name] = true
		if err := f.set(text); err != nil {
			return fmt.Errorf("%s %q: %w", f.Name, text, err)
		}
	}
	return g.check()
}

func (g *Group) check() error {
	for i := range g.Keys {
		if k := &g.Keys[i]; k.Required && len(k.Get()) == 0 {
			if k.Name == g.Main {
				return fmt.Errorf("%s is missing: begin with it, or write %s=%s", k.Name, k.Name, k.Arg)
			}
			return fmt.Errorf("%s is missing: write %s=%s", k.Name, k.Name, k.Arg)
		}
	}
	if g.Check == nil {
		return nil
	}
	return g.Check()
}

// part finds the key of a part of the list and its value.
func (g *Group) part(part string, first bool) (*Flag, string, error) {
	name, text, has := strings.Cut(part, "=")
	f := Find(g.Keys, name)
	main := Find(g.Keys, g.Main)
	switch {
	case f != nil && !has && f.Type != Boolean && !first:
		return nil, "", fmt.Errorf("%s wants a value: %s", name, f.keyHead())
	case f != nil && (has || f.Type == Boolean):
		return f, text, nil
	case first && !has && main != nil:
		return main, part, nil
	case first && main != nil && main.Values == nil && strings.ContainsAny(name, "/."):
		return nil, "", fmt.Errorf("there is no key %q; a value with = in it is written %s=%s", name, g.Main, part)
	}
	return nil, "", g.unknown(name)
}

func (g *Group) unknown(name string) error {
	names := namesOf(g.Keys)
	if near := Nearest(name, names); near != "" {
		return fmt.Errorf("there is no key %q; did you mean %s?", name, near)
	}
	return fmt.Errorf("there is no key %q; it is one of %s", name, list(names))
}

// Find returns the flag of that name; nil: there is none.
func Find(flags []Flag, name string) *Flag {
	for i := range flags {
		if flags[i].Name == name {
			return &flags[i]
		}
	}
	return nil
}

func namesOf(flags []Flag) []string {
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = f.Name
	}
	return names
}

// splitParts splits at single commas.
func splitParts(s string) (parts []string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != ',':
			b.WriteByte(s[i])
		case i+1 < len(s) && s[i+1] == ',':
			b.WriteByte(',')
			i++
		default:
			parts = append(parts, b.String())
			b.Reset()
		}
	}
	return append(parts, b.String())
}
