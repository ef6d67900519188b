package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

// existing is the name of a file that must be there: what is looked at now needs no half-made machine taken down.
func existing(p *string) option.Value {
	v := option.Path(p)
	set := v.Set
	v.Set = func(s string) error {
		if err := set(s); err != nil {
			return err
		}
		if _, err := os.Stat(s); err != nil {
			return &fileError{err}
		}
		return nil
	}
	return v
}

// fileError is a file that isn't there, or can't be looked at: no mistake in the line, so its exit code is 1.
type fileError struct{ err error }

// Error leaves out the path, which stands before it.
func (e *fileError) Error() string {
	var p *fs.PathError
	if errors.As(e.err, &p) {
		return p.Err.Error()
	}
	return e.err.Error()
}

// Unwrap is the host's error.
func (e *fileError) Unwrap() error { return e.err }

// ascii is a text that is stored as it is, in limited room.
func ascii(p *string, most int) option.Value {
	v := option.Text(p)
	v.Pattern = fmt.Sprintf("^[ -~]{1,%d}$", most)
	v.Set = func(s string) error {
		for i := range len(s) {
			if s[i] < ' ' || s[i] > '~' {
				return errors.New("only printable ASCII is possible")
			}
		}
		if len(s) < 1 || len(s) > most {
			return fmt.Errorf("%d letters; it has 1 to %d", len(s), most)
		}
		*p = s
		return nil
	}
	return v
}

func powerOfTwo(p *int, least, most int) option.Value {
	v := option.Number(p, uint64(least), uint64(most))
	set := v.Set
	v.Set = func(s string) error {
		if n, err := strconv.Atoi(s); err == nil && n > 0 && n&(n-1) != 0 {
			return fmt.Errorf("no power of two; it is one from %d to %d", least, most)
		}
		return set(s)
	}
	return v
}

// unless is a key that is true by default, for a field that says the opposite.
func unless(p *bool) option.Value {
	on := !*p
	v := option.Bool(&on)
	set := v.Set
	v.Set = func(s string) error {
		err := set(s)
		*p = !on
		return err
	}
	v.Get = func() []string {
		if *p {
			return []string{"false"}
		}
		return nil
	}
	return v
}

func ringKey(packed *bool) option.Flag {
	return option.Flag{Name: "ring", Default: "split", Help: "the layout of the virtqueues; packed where the guest knows it too", Value: option.Choice(packed, name("split", false), name("packed", true))}
}
