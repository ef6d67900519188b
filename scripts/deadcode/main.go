// Command deadcode fails where the module has functions that nothing calls, or
// that only tests call.
//
//	go run ./scripts/deadcode
//
// It runs golang.org/x/tools/cmd/deadcode with the tests, whose findings nothing at
// all calls, and without them. The findings without tests may lie in packages that
// exist for tests. allowed.txt lists what else may be there and why; an entry that
// no run finds is an error too.
package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed allowed.txt
var allowedText string

const module = "github.com/mayfly-vm/mayfly"

// A build with these tags links other functions than one without: what one of them
// calls is not dead.
const tags = "-tags=qcow2"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "deadcode:", err)
		os.Exit(1)
	}
}

func run() error {
	allowed, err := parseAllowed(allowedText)
	if err != nil {
		return err
	}
	uncalled, err := deadcode("-test")
	if err != nil {
		return err
	}
	inTests, err := deadcode()
	if err != nil {
		return err
	}
	withTags, err := deadcode(tags)
	if err != nil {
		return err
	}
	var bad []string
	for _, f := range uncalled {
		if !allowed.has(f) {
			bad = append(bad, fmt.Sprintf("%s: nothing calls it", f))
		}
	}
	for _, f := range inTests {
		if !slices.Contains(withTags, f) || slices.Contains(uncalled, f) || forTests(f.pkg) || allowed.has(f) {
			continue
		}
		bad = append(bad, fmt.Sprintf("%s: only tests call it", f))
	}
	for name, used := range allowed {
		if !used {
			bad = append(bad, "scripts/deadcode/allowed.txt: "+name+" is called, or is not there: remove the entry")
		}
	}
	if len(bad) > 0 {
		slices.Sort(bad)
		return fmt.Errorf("%d findings; delete the functions, or say in scripts/deadcode/allowed.txt why they stay:\n%s", len(bad), strings.Join(bad, "\n"))
	}
	return nil
}

// forTests reports whether a package of the module is there for tests: by its
// name, or as a part of the lab or of the guests that run in it.
func forTests(pkg string) bool {
	first, _, _ := strings.Cut(pkg, "/")
	return strings.HasSuffix(pkg, "test") || slices.Contains([]string{"lab", "guest", "test"}, first)
}

// function is one that the tool found. Paths are relative to the module.
type function struct {
	pkg, file, name string
	line            int
}

func (f function) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.name) }

func deadcode(args ...string) ([]function, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	c := exec.Command("go", slices.Concat([]string{"tool", "deadcode", "-json"}, args, []string{"./..."})...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool deadcode: %w", err)
	}
	return parseFound(out, root)
}

// parseFound reads the tool's output. root is the directory of the module.
func parseFound(out []byte, root string) (list []function, err error) {
	var pkgs []struct {
		Path  string
		Funcs []struct {
			Name     string
			Position struct {
				File string
				Line int
			}
		}
	}
	if err := json.Unmarshal(out, &pkgs); err != nil {
		return nil, fmt.Errorf("output of go tool deadcode: %w", err)
	}
	for _, p := range pkgs {
		for _, f := range p.Funcs {
			file := f.Position.File
			if rel, err := filepath.Rel(root, file); err == nil && filepath.IsAbs(file) {
				file = rel
			}
			list = append(list, function{strings.TrimPrefix(strings.TrimPrefix(p.Path, module), "/"), file, f.Name, f.Position.Line})
		}
	}
	return list, nil
}

// allowed are the entries of allowed.txt, and whether something was found that
// needs them.
type allowed map[string]bool

func parseAllowed(text string) (allowed, error) {
	a := allowed{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("allowed.txt: %q: expected an entry, a colon and a reason", line)
		}
		a[name] = false
	}
	return a, nil
}

// has reports whether an entry names the function, as package.Function or
// package.Type.Method, or its file.
func (a allowed) has(f function) bool {
	for _, name := range []string{f.pkg + "." + f.name, f.file} {
		if _, ok := a[name]; ok {
			a[name] = true
			return true
		}
	}
	return false
}
