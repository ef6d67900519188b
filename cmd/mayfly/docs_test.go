package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
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
