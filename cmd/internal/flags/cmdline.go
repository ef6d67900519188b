package flags

import (
	"errors"
	"slices"
	"strings"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/kernelparams"
)

// Cmdline is the kernel's command line: the defaults and what is added to them, or a whole line in their place. What a
// configuration file has, the flags replace (--cmdline-only) or add to (--cmdline).
type Cmdline struct {
	added []string
	only  bool
	text  string // in the defaults' place

	// Set by the same source, be it the file or the flags: both together are an error.
	hasAdded, hasOnly bool
}

var errTwoCmdlines = errors.New("cmdline adds to the defaults and cmdline-only replaces them: only one of them can be given")

// nextSource is called after the configuration file, before the flags.
func (c *Cmdline) nextSource() { c.hasAdded, c.hasOnly = false, false }

func (c *Cmdline) addition() option.Value {
	return option.Value{
		Set: func(s string) error {
			if c.hasOnly {
				return errTwoCmdlines
			}
			c.added, c.hasAdded = append(c.added, s), true
			return nil
		},
		Get: func() []string {
			if c.only {
				return nil // whole returns them
			}
			return slices.Clone(c.added)
		},
	}
}

func (c *Cmdline) whole() option.Value {
	return option.Value{
		Set: func(s string) error {
			if c.hasAdded {
				return errTwoCmdlines
			}
			c.added, c.text, c.only, c.hasOnly = nil, s, true, true
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
func (c *Cmdline) String(b mayfly.Bus, console string) string {
	first := strings.Replace(mayfly.DefaultCmdline(b), "console=ttyS0", "console="+console, 1)
	if c.only {
		first = c.text
	}
	return kernelparams.Join(append([]string{first}, c.added...)...)
}
