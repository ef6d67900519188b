package reference

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

type toyDisk struct {
	path, cache string
	readonly    bool
	queues      int
}

func (d *toyDisk) keys() *option.Group {
	return &option.Group{Main: "path", Keys: []option.Flag{
		{Name: "path", Arg: "FILE", Required: true, Help: "the image", Value: option.Path(&d.path)},
		{Name: "readonly", Help: "no writes", Value: option.Bool(&d.readonly)},
		{Name: "cache", Default: "writeback", Help: "what a flush does", Value: option.Choice(&d.cache, "writeback", "unsafe")},
		{Name: "queues", Arg: "N", Default: "1", Help: "queues", Value: option.Number(&d.queues, 1, 64)},
	}}
}

// toy is a program with a flag of each sort.
func toy() *option.Program {
	var name string
	var quiet bool
	var disks []toyDisk
	return &option.Program{Name: "toy", Brief: "a toy", Version: "v1", Commands: []*option.Command{{
		Name: "run", Brief: "run it", Files: true,
		Flags: []option.Flag{
			{Name: "name", Arg: "TEXT", Help: "a name, isn't it", Value: option.Text(&name)},
			{Name: "quiet", Help: "no message", Value: option.ForLine(option.Bool(&quiet))},
			{Name: "disk", Arg: "PATH,KEY=VALUE,…", Many: true, Help: "a disk", Groups: option.ManyOf(&disks, (*toyDisk).keys)},
		},
		Examples: []option.Example{{Line: "toy run --name 'a b'", What: "run it so"}},
	}}}
}

func TestSchemaIsJSONAndNamesEachKey(t *testing.T) {
	text := Schema("a toy", toy().Commands[0].Flags)
	var s struct {
		Properties map[string]any
		Defs       map[string]struct {
			AnyOf []struct {
				Type       string
				Properties map[string]map[string]any
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, ok := s.Properties["quiet"]; ok || len(s.Properties) != 3 { // with $schema
		t.Errorf("properties: %v", s.Properties)
	}
	any := s.Defs["disk"].AnyOf
	disk := any[len(any)-1].Properties
	if len(disk) != 4 || disk["queues"]["maximum"] != 64.0 || disk["queues"]["default"] != 1.0 || disk["cache"]["default"] != "writeback" || disk["readonly"]["type"] != "boolean" {
		t.Errorf("disk: %v", disk)
	}
}

// Whatever is generated has each flag and each key.
func TestEachFormatHasEachFlag(t *testing.T) {
	for format, text := range map[string]string{
		"man": Man(toy()), "markdown": Markdown(toy()), "bash": Completion(toy(), "bash"), "zsh": Completion(toy(), "zsh"), "fish": Completion(toy(), "fish"),
	} {
		for _, want := range []string{"name", "quiet", "disk", "readonly", "cache", "unsafe", "queues"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", format, want, text)
			}
		}
	}
	if text := Completion(toy(), "csh"); text != "" {
		t.Errorf("a script for an unknown shell:\n%s", text)
	}
	for _, shell := range option.Shells() {
		if Completion(toy(), shell) == "" {
			t.Errorf("no script for %s", shell)
		}
	}
}

// The scripts are programs of their shells, whatever the table's texts hold.
func TestScriptsAreParsed(t *testing.T) {
	for shell, args := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		cmd := exec.Command(shell, args...)
		cmd.Stdin = strings.NewReader(Completion(toy(), shell))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
}
