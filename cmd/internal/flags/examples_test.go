package flags

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

// Each flag has a description and a value, and no name is there twice.
func TestEveryFlagIsDescribed(t *testing.T) {
	for _, c := range Program("").Commands {
		seen := map[string]bool{"help": true}
		if c.Brief == "" {
			t.Errorf("%s has no description", c.Name)
		}
		for _, f := range c.Flags {
			if f.Help == "" || f.Set == nil && f.Groups == nil || seen[f.Name] {
				t.Errorf("%s --%s is incomplete, or there twice", c.Name, f.Name)
			}
			seen[f.Name] = true
		}
	}
}

// Every example in the documents is parsed: each line of "mayfly run" and each file.
func TestExamplesAreUnderstood(t *testing.T) {
	lines, files := 0, 0
	for _, path := range []string{"../../../docs/devices.md", "../../../docs/config.md", "../../../docs/cli.md", "../../../README.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(b), "```") {
			if i%2 == 0 {
				continue
			}
			kind, block, _ := strings.Cut(block, "\n")
			switch kind {
			case "sh":
				for line := range strings.Lines(block) {
					if rest, ok := strings.CutPrefix(strings.TrimPrefix(line, "bin/"), "mayfly run"); ok {
						lines++
						tryLine(t, path, rest)
					}
				}
			case "yaml", "json":
				files++
				tryFile(t, path, kind, block)
			}
		}
	}
	if lines < 15 || files < 2 {
		t.Errorf("found %d lines and %d files: are they elsewhere now?", lines, files)
	}
}

// tryLine parses a line. Files may be missing here.
func tryLine(t *testing.T, path, line string) {
	t.Helper()
	var args []string
	quoted := false
	for i, part := range strings.Split(line, "'") {
		if quoted = i%2 == 1; quoted {
			args = append(args, part)
			continue
		}
		part, _, comment := strings.Cut(part, " # ")
		part, _, redirected := strings.Cut(part, ">")
		part, _, fed := strings.Cut(part, "</dev/null")
		args = append(args, strings.Fields(part)...)
		if comment || redirected || fed {
			break
		}
	}
	if i := slices.Index(args, "--config"); i >= 0 {
		args = slices.Delete(args, i, i+2)
	}
	if _, err := new(Run).Command().Parse(args); err != nil && !errors.As(err, new(*fileError)) {
		t.Errorf("%s: mayfly run%s: %v", path, line, err)
	}
}

// tryFile reads a file's text, with this folder's files in place of those that it names.
func tryFile(t *testing.T, path, kind, text string) {
	t.Helper()
	b := []byte(strings.NewReplacer("root.img", "run.go", "data.img", "run.go").Replace(text))
	if kind == "yaml" {
		var err error
		if b, err = yamljson.Convert(b); err != nil {
			t.Errorf("%s: %v in:\n%s", path, err, text)
			return
		}
	}
	n, err := document.Parse(b)
	if err == nil {
		err = option.Apply(new(Run).Flags(), n)
	}
	if err != nil {
		t.Errorf("%s: %v in:\n%s", path, err, text)
	}
}
