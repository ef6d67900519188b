package main

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/document"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

// docs/cli.md is made from the same tables as the help: go test ./cmd/mayfly -run Docs -update
func TestDocsAreUpToDate(t *testing.T) {
	const path = "../../docs/cli.md"
	want := program().Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/cli.md is behind (-update writes it):\n%s", diff)
	}
}

// What help shows must be whole: no flag without words, no name twice.
func TestEveryFlagIsDescribed(t *testing.T) {
	for _, c := range program().Commands {
		seen := map[string]bool{"help": true}
		if c.Brief == "" || c.Run == nil {
			t.Errorf("%s is not whole", c.Name)
		}
		for _, f := range c.Flags {
			if f.Help == "" || f.Set == nil && f.Groups == nil || seen[f.Name] {
				t.Errorf("%s --%s is not whole, or there twice", c.Name, f.Name)
			}
			seen[f.Name] = true
		}
	}
}

// The tables of keys in docs/devices.md are made from the same table: -update writes them. Each device has its place.
func TestDevicesAreDescribed(t *testing.T) {
	const path = "../../docs/devices.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, f := range new(runOptions).flags() {
		if f.Groups == nil {
			continue
		}
		before, rest, found := strings.Cut(text, "<!-- keys: "+f.Name+" -->\n")
		_, after, ended := strings.Cut(rest, "<!-- end -->\n")
		if !found || !ended {
			t.Errorf("docs/devices.md has no place for the keys of --%s: <!-- keys: %s -->, <!-- end -->", f.Name, f.Name)
			continue
		}
		text = before + "<!-- keys: " + f.Name + " -->\n" + f.KeysMarkdown() + "<!-- end -->\n" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(text, string(b)); diff != "" {
		t.Errorf("docs/devices.md is behind (-update writes it):\n%s", diff)
	}
}

// What the documents show must be understood: every line of "mayfly run" and every file.
func TestExamplesAreUnderstood(t *testing.T) {
	lines, files := 0, 0
	for _, path := range []string{"../../docs/devices.md", "../../docs/config.md", "../../docs/cli.md", "../../README.md"} {
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
		t.Errorf("found %d lines and %d files: are they still where this test looks?", lines, files)
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
	if _, err := runCommand(time.Time{}).Parse(args); err != nil && !errors.As(err, new(*fileError)) {
		t.Errorf("%s: mayfly run%s: %v", path, line, err)
	}
}

// tryFile reads a file's text, with this folder's files in place of those that it names.
func tryFile(t *testing.T, path, kind, text string) {
	t.Helper()
	b := []byte(strings.NewReplacer("root.img", "main.go", "data.img", "main.go").Replace(text))
	if kind == "yaml" {
		var err error
		if b, err = yamljson.Convert(b); err != nil {
			t.Errorf("%s: %v in:\n%s", path, err, text)
			return
		}
	}
	n, err := document.Parse(b)
	if err == nil {
		err = option.Apply(new(runOptions).flags(), n)
	}
	if err != nil {
		t.Errorf("%s: %v in:\n%s", path, err, text)
	}
}
