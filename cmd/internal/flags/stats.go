package flags

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Stats is where the machine's counters are written, and how often.
type Stats struct {
	Path  string        // "-" is standard output; empty: nowhere
	Every time.Duration // 0: at the machine's end only
}

// value is for the command line alone: a configuration file describes a machine, not one run of it.
func (s *Stats) value() option.Value {
	return option.Value{Files: true, Set: func(text string) error {
		var seconds int
		g := option.Group{Main: "path", Keys: []option.Flag{
			{Name: "path", Arg: "FILE", Required: true, Value: option.Path(&s.Path)},
			{Name: "every", Arg: "SECONDS", Value: option.Number(&seconds, 1, 24*60*60)},
		}}
		if s.Path != "" {
			return errors.New("only one file is possible")
		}
		if err := g.Set(text); err != nil {
			return err
		}
		s.Every = time.Duration(seconds) * time.Second
		return s.check()
	}}
}

// check finds before the machine runs what would lose its counters.
func (s *Stats) check() error {
	if s.Path == "-" {
		return nil
	}
	if st, err := os.Stat(s.Path); err == nil && st.IsDir() {
		return errors.New("a folder; name a file")
	}
	if dir := filepath.Dir(s.Path); unix.Access(s.Path, unix.W_OK) != nil && unix.Access(dir, unix.W_OK) != nil {
		return fmt.Errorf("the folder %s: %w", dir, unix.Access(dir, unix.W_OK))
	}
	return nil
}
