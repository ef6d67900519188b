package structure

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// mostLines is the length of the longest function, from its first line to its
// closing brace.
const mostLines = 80

func TestFunctionsAreShort(t *testing.T) {
	for _, file := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := set.Position(fn.Pos()), set.Position(fn.End())
			if n := last.Line - first.Line + 1; n > mostLines {
				t.Errorf("%s:%d: %s has %d lines, at most %d are allowed", file, first.Line, fn.Name.Name, n, mostLines)
			}
		}
	}
}

// goFiles are the repository's Go files, without those of hidden directories.
func goFiles(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ".go"):
			files = append(files, path)
		}
		return nil
	})
	if err != nil || len(files) < 100 {
		t.Fatalf("%d Go files found: %v", len(files), err)
	}
	return files
}
