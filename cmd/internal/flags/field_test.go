package flags

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
)

// Each field that a ConfigError of the library names has an entry, and each entry is a field of the configuration with flags of
// the table, or the operand.
func TestEveryFieldHasItsFlag(t *testing.T) {
	named := namedFields(t, "../../..")
	if len(named) < 10 {
		t.Fatalf("found only %v: are ConfigErrors made elsewhere now?", named)
	}
	for field, at := range named {
		if _, ok := fields[field]; !ok {
			t.Errorf("%s: an error names the field %s, which is not in the table of fields", at, field)
		}
	}
	known := map[string]bool{"KERNEL": true}
	for _, f := range new(Run).Flags() {
		known["--"+f.Name] = true
	}
	for field, flag := range fields {
		if _, ok := reflect.TypeFor[mayfly.Config]().FieldByName(field); !ok {
			t.Errorf("the table has %s, which is no field of mayfly.Config", field)
		}
		for name := range strings.SplitSeq(flag, ", ") {
			if !known[name] {
				t.Errorf("%s: %s is no flag", field, name)
			}
		}
	}
}

// An error about a device names the device's own flag.
func TestEveryDeviceHasItsFlag(t *testing.T) {
	o, err := parsed("--disk", "run.go", "--net", "user,name=a", "--vsock", "v.sock", "--console", "stdio", "--rng")
	if err != nil {
		t.Fatal(err)
	}
	o.Connect(strings.NewReader(""), io.Discard)
	var got []string
	for _, d := range o.Config.Devices {
		got = append(got, Named(&mayfly.ConfigError{Field: "Devices", Msg: "bad", Err: &mayfly.DeviceError{Device: d.DeviceName(), Err: io.ErrUnexpectedEOF}}).Error())
	}
	want := []string{"--disk: unexpected EOF", "--net: unexpected EOF", "--vsock: unexpected EOF", "--console: unexpected EOF", "--rng: unexpected EOF"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// namedFields parses the library's sources and returns the fields that composite literals of ConfigError name, each with a
// place in the sources.
func namedFields(t *testing.T, root string) map[string]string {
	t.Helper()
	named := map[string]string{}
	set := token.NewFileSet()
	read := func(path string) {
		if strings.HasSuffix(path, "_test.go") || filepath.Ext(path) != ".go" {
			return
		}
		if filepath.Base(path) == "spawn.go" || filepath.Base(filepath.Dir(path)) == "child" { // of mayfly.Spawn, which the command does not call
			return
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || typeName(literal.Type) != "ConfigError" || len(literal.Elts) == 0 {
				return true
			}
			value := literal.Elts[0]
			for _, e := range literal.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Field" {
					value = kv.Value
				}
			}
			at := set.Position(literal.Pos()).String()
			basic, ok := value.(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the field is no literal, so this test doesn't know it", at)
				return true
			}
			field, err := strconv.Unquote(basic.Value)
			if err != nil {
				t.Fatal(err)
			}
			named[field] = at
			return true
		})
	}
	roots, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range roots {
		read(path)
	}
	err = filepath.WalkDir(filepath.Join(root, "internal"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return named
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
