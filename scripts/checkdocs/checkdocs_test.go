// Package checkdocs_test finds what documents name that does not exist: links to files and
// headings, paths, functions (path/file.go:name), and identifiers of Go in backquotes.
package checkdocs_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func tree(t *testing.T, dir string) *documents {
	t.Helper()
	tr, err := newDocuments(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// files are those of the repository whose names end so, relative to its root.
func files(t *testing.T, suffix string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == ".git" || e.Name() == "testdata" || e.Name() == "bin") {
			return fs.SkipDir
		}
		if !e.IsDir() && strings.HasSuffix(p, suffix) {
			rel, err := filepath.Rel(root, p)
			list = append(list, filepath.ToSlash(rel))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDocuments(t *testing.T) {
	tr := tree(t, root)
	docs := files(t, ".md")
	if !slices.Contains(docs, "README.md") || !slices.Contains(docs, "docs/architecture.md") {
		t.Fatalf("documents: %q", docs)
	}
	for _, doc := range docs {
		for _, w := range tr.markdown(doc) {
			t.Error(w)
		}
	}
}

// The README is read first, and so stays short.
func TestREADMESize(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 8<<10 {
		t.Errorf("README.md has %d bytes; expected at most %d", len(b), 8<<10)
	}
}

// The README names each public package, or "folder/…" for those that few readers need.
func TestREADMEPackages(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files(t, ".go") {
		pkg := path.Dir(file)
		if pkg == "." || strings.HasPrefix(pkg, "cmd/") || strings.HasPrefix(pkg, "scripts/") ||
			strings.Contains("/"+pkg+"/", "/internal/") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		seen++
		top, _, _ := strings.Cut(pkg, "/")
		if !bytes.Contains(b, []byte("`"+pkg+"`")) && !bytes.Contains(b, []byte("`"+top+"/…`")) {
			t.Errorf("README.md does not name package %s, of %s", pkg, file)
		}
	}
	if seen == 0 {
		t.Error("no packages")
	}
}

var mentioned = regexp.MustCompile(`[\w./-]+\.go\b`)

// A picture's source names what exists, and the picture was drawn from it.
func TestPictures(t *testing.T) {
	tr := tree(t, root)
	pictures := files(t, ".dot")
	if len(pictures) == 0 {
		t.Fatal("no pictures")
	}
	for _, dot := range pictures {
		source, err := os.ReadFile(filepath.Join(root, dot))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range tr.places(dot, string(source)) {
			t.Error(w)
		}
		svg, err := os.ReadFile(filepath.Join(root, strings.TrimSuffix(dot, ".dot")+".svg"))
		if err != nil {
			t.Errorf("%v: run make pictures", err)
			continue
		}
		for _, name := range mentioned.FindAllString(string(source), -1) {
			if !strings.Contains(string(svg), name) {
				t.Errorf("%s names %s, its SVG does not: run make pictures", dot, name)
			}
		}
	}
}

var arrow = regexp.MustCompile(`(?m)^\t"([^"]+)" -> "([^"]+)"$`)

// Each arrow between packages is an import.
func TestPackagesPicture(t *testing.T) {
	source, err := os.ReadFile(filepath.Join(root, "docs/pictures/packages.dot"))
	if err != nil {
		t.Fatal(err)
	}
	arrows := arrow.FindAllStringSubmatch(string(source), -1)
	if len(arrows) < 10 {
		t.Fatalf("%d arrows", len(arrows))
	}
	for _, a := range arrows {
		var imported []string
		for from := range strings.SplitSeq(a[1], ",") {
			imported = append(imported, imports(t, from)...)
		}
		if !slices.ContainsFunc(strings.Split(a[2], ","), func(to string) bool { return slices.Contains(imported, to) }) {
			t.Errorf("%s imports nothing of %s", a[1], a[2])
		}
	}
}

// imports are what a package of this module imports of the module, without its path:
// "mayfly" is the root package.
func imports(t *testing.T, pkg string) (list []string) {
	t.Helper()
	if pkg == "mayfly" {
		pkg = "."
	}
	sources, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("package %s: %v, %d files", pkg, err, len(sources))
	}
	for _, s := range sources {
		if strings.HasSuffix(s, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), s, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			p := strings.Trim(i.Path.Value, `"`)
			if p, ok := strings.CutPrefix(p, "github.com/mayfly-vm/mayfly"); ok {
				list = append(list, strings.TrimPrefix(p, "/"))
				if p == "" {
					list = append(list, "mayfly")
				}
			}
		}
	}
	return list
}

func TestFinds(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"virtio/queue.go": "package virtio\n\nfunc (q *Queue) Pop() {}\n\ntype ring struct{}\n",
		"docs/a.md": "# One `head`, two\n\n[b](b.md) [c](c.md) [d](#one-head-two) [e](../virtio) [f](#three) [g](https://example.org/x)\n\n" +
			"`virtio/queue.go` `virtio/gone.go` `queue.go` `lost.go` `net/http` `virtio/…` `virtio/*.c`\n" +
			"`virtio/queue.go:Pop` `virtio/queue.go:Push` `virtio/queue.go:ring` `gone.go:Pop`\n" +
			"`virtio.Queue` `virtio.Ring` `Queue.Pop` `Queue.Push()` `ringBuffer` `vmlinux.gz` `pop`\n\n```\n`virtio/fenced.go`\n```\n",
		"docs/b.md": "",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"docs/a.md: link c.md: docs/c.md does not exist",
		"docs/a.md: link #three: docs/a.md has no such heading",
		"docs/a.md: `virtio/gone.go`: no such file",
		"docs/a.md: `lost.go`: no such file",
		"docs/a.md: `virtio/*.c`: no such file",
		"docs/a.md: virtio/queue.go declares no Push",
		"docs/a.md: gone.go: no such file",
		"docs/a.md: `virtio.Ring`: no such identifier",
		"docs/a.md: `Queue.Push()`: no such identifier",
		"docs/a.md: `ringBuffer`: no such identifier",
	}
	if got := tree(t, dir).markdown("docs/a.md"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
