package main

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/reference"
)

var update = flag.Bool("update", false, "write docs/cli.md and the tables of docs/devices.md")

// docs/cli.md is made from the same tables as the help: go test ./cmd/mayfly-doc -update
func TestDocsAreUpToDate(t *testing.T) {
	const path = "../../docs/cli.md"
	want := reference.Markdown(program())
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
		t.Errorf("docs/cli.md is out of date (-update writes it):\n%s", diff)
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
	for _, f := range new(flags.Run).Flags() {
		if f.Groups == nil {
			continue
		}
		before, rest, found := strings.Cut(text, "<!-- keys: "+f.Name+" -->\n")
		_, after, ended := strings.Cut(rest, "<!-- end -->\n")
		if !found || !ended {
			t.Errorf("docs/devices.md has no place for the keys of --%s: <!-- keys: %s -->, <!-- end -->", f.Name, f.Name)
			continue
		}
		text = before + "<!-- keys: " + f.Name + " -->\n" + reference.KeysMarkdown(&f) + "<!-- end -->\n" + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(text, string(b)); diff != "" {
		t.Errorf("docs/devices.md is out of date (-update writes it):\n%s", diff)
	}
}
