package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/kernelparams"
)

// cmdline is what is said of the kernel's command line: words behind the defaults, or all of it. What a file says, the
// line of the command replaces (--cmdline-only) or adds to (--cmdline).
type cmdline struct {
	added []string
	only  bool
	text  string // in the defaults' place

	// By the same source: then it is a contradiction.
	saidWords, saidOnly bool
}

var errTwoCmdlines = errors.New("cmdline adds to the defaults and cmdline-only replaces them: only one of them can be")

// next begins another source.
func (c *cmdline) next() { c.saidWords, c.saidOnly = false, false }

func (c *cmdline) words() option.Value {
	return option.Value{
		Set: func(s string) error {
			if c.saidOnly {
				return errTwoCmdlines
			}
			c.added, c.saidWords = append(c.added, s), true
			return nil
		},
		Get: func() []string {
			if c.only {
				return nil // they are in the whole
			}
			return slices.Clone(c.added)
		},
	}
}

func (c *cmdline) whole() option.Value {
	return option.Value{
		Set: func(s string) error {
			if c.saidWords {
				return errTwoCmdlines
			}
			c.added, c.text, c.only, c.saidOnly = nil, s, true, true
			return nil
		},
		Get: func() []string {
			if !c.only {
				return nil
			}
			return []string{c.String(mayfly.BusAuto, "")} // no defaults are in it
		},
	}
}

// String is the whole command line of a guest with that bus and console.
func (c *cmdline) String(b mayfly.Bus, console string) string {
	first := strings.Replace(mayfly.DefaultCmdline(b), "console=ttyS0", "console="+console, 1)
	if c.only {
		first = c.text
	}
	return kernelparams.Join(append([]string{first}, c.added...)...)
}

// explain adds to an error about the command line of a guest with that bus and
// console how much of it is not the user's.
func (c *cmdline) explain(err error, b mayfly.Bus, console string) error {
	var bad *mayfly.ConfigError
	if c.only || !errors.As(err, &bad) || bad.Field != "Cmdline" {
		return err
	}
	defaults := new(cmdline).String(b, console)
	return &mayfly.ConfigError{Field: bad.Field, Msg: fmt.Sprintf("%s (%d bytes are the defaults, which --cmdline-only leaves out)", bad.Msg, len(defaults))}
}
