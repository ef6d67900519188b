package main

import (
	"runtime"
	"runtime/debug"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

// version can be set by the linker (-ldflags "-X main.version=v1.2.3"); else the build information tells.
var version string

// versionText is the program's version alone.
func versionText() string {
	v, _ := build()
	return v
}

// build returns version and commit.
func build() (v, commit string) {
	v = version
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v, ""
	}
	if v == "" {
		v = info.Main.Version
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = " and changes"
		}
	}
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	if commit != "" {
		commit += dirty
	}
	return v, commit
}

func versionCommand() *option.Command {
	var asJSON bool
	return &option.Command{
		Name: "version", Brief: "show the version of this program",
		Flags: []option.Flag{{Name: "json", Help: "as JSON", Value: option.Bool(&asJSON)}},
		Run: func([]string) int {
			v, commit := build()
			if asJSON {
				return printJSON(struct {
					Version  string `json:"version"`
					Commit   string `json:"commit,omitempty"`
					Go       string `json:"go"`
					Platform string `json:"platform"`
				}{v, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			}
			line := programName + " " + v
			if commit != "" {
				line += " (commit " + commit + ")"
			}
			return printText(line + ", " + runtime.Version() + ", " + runtime.GOOS + "/" + runtime.GOARCH + "\n")
		},
	}
}
