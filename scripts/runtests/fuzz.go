package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// fuzzAll runs each fuzz target for the time given. The first that fails ends
// it: the go command then has left the input below testdata.
func fuzzAll(ctx context.Context, list []pkg, each string) error {
	n := 0
	for _, p := range list {
		names, err := fuzzTargets(p.dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			fmt.Printf("%s %s\n", p.path, name)
			if err := command(ctx, "go", "test", "-run=^$", "-fuzz=^"+name+"$", "-fuzztime="+each, p.path).Run(); err != nil {
				return fmt.Errorf("%s %s: %w", p.path, name, err)
			}
			n++
		}
	}
	fmt.Printf("ok  \tall: %d fuzz targets, %s each\n", n, each)
	return nil
}

func fuzzTargets(dir string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		for _, m := range fuzzTarget.FindAllSubmatch(b, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names, nil
}
