// Package version has this program's version.
package version

import (
	"runtime"
	"runtime/debug"
)

// number can be set by the linker (-ldflags "-X github.com/mayfly-vm/mayfly/cmd/internal/version.number=v1.2.3"); else the
// build information has it.
var number string

// Build describes how this program was built.
type Build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // operating system and architecture
}

// Read returns the description of this program.
func Read() Build {
	v, commit := versionAndCommit()
	return Build{v, commit, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
}

func versionAndCommit() (v, commit string) {
	v = number
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

// Text is a line about this program: its version, commit, Go's version and the platform.
func (b Build) Text(program string) string {
	line := program + " " + b.Version
	if b.Commit != "" {
		line += " (commit " + b.Commit + ")"
	}
	return line + ", " + b.Go + ", " + b.Platform + "\n"
}
