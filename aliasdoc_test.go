package mayfly_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
)

// go doc shows neither fields nor methods of an alias, and those of an internal package
// are documented nowhere else that a reader finds: the alias's comment has to name them.
func TestAliasDocs(t *testing.T) {
	comments := typeComments(t)
	for name, kind := range map[string]reflect.Type{
		"Boot":          reflect.TypeFor[mayfly.Boot](),
		"Bus":           reflect.TypeFor[mayfly.Bus](),
		"ConfigError":   reflect.TypeFor[mayfly.ConfigError](),
		"DeviceError":   reflect.TypeFor[mayfly.DeviceError](),
		"Load":          reflect.TypeFor[mayfly.Load](),
		"Packed":        reflect.TypeFor[mayfly.Packed](),
		"Plan":          reflect.TypeFor[mayfly.Plan](),
		"PlannedDevice": reflect.TypeFor[mayfly.PlannedDevice](),
		"Platform":      reflect.TypeFor[mayfly.Platform](),
	} {
		for _, member := range members(kind) {
			if !regexp.MustCompile(`\b` + member + `\b`).MatchString(comments[name]) {
				t.Errorf("the comment of %s does not name %s", name, member)
			}
		}
	}
}

// members are the names of the exported fields and methods of a type, without those that
// a program outside this module has no use for: fields that are structs of internal
// packages, what the interfaces error and DeviceConfig ask for, and Unwrap.
func members(kind reflect.Type) (names []string) {
	if kind.Kind() == reflect.Struct {
		for _, f := range reflect.VisibleFields(kind) {
			internal := f.Type.Kind() == reflect.Struct && strings.Contains(f.Type.PkgPath(), "/internal/")
			if f.IsExported() && !internal {
				names = append(names, f.Name)
			}
		}
	}
	asked := reflect.TypeFor[mayfly.DeviceConfig]()
	for m := range reflect.PointerTo(kind).NumMethod() {
		name := reflect.PointerTo(kind).Method(m).Name
		_, ofDevices := asked.MethodByName(name)
		wrapper := kind == reflect.TypeFor[mayfly.Packed]() && name == "Check"
		if !ofDevices && !wrapper && name != "Error" && name != "Unwrap" {
			names = append(names, name)
		}
	}
	return names
}

// typeComments are the doc comments of this package's types, by name.
func typeComments(t *testing.T) map[string]string {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, s := range g.Specs {
					comments[s.(*ast.TypeSpec).Name.Name] = g.Doc.Text()
				}
			}
		}
	}
	return comments
}
