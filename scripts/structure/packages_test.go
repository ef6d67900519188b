package structure

import (
	"cmp"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mayfly-vm/mayfly"

// imports are the module's packages with those of the module that they import, tests
// left out. Paths are relative to the module; the root package is ".".
func imports(t *testing.T) map[string][]string {
	t.Helper()
	c := exec.Command("go", "list", "-tags=qcow2", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	c.Dir = root
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		var own []string
		for _, i := range f[1:] {
			if inModule(i) {
				own = append(own, relative(i))
			}
		}
		list[relative(f[0])] = own
	}
	return list
}

func inModule(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func relative(path string) string {
	return cmp.Or(strings.TrimPrefix(strings.TrimPrefix(path, module), "/"), ".")
}

// unpublished are the directories whose packages nobody outside is to import, though
// Go allows it.
var unpublished = regexp.MustCompile(`^(bench|cmd|guest|lab|scripts|test)(/|$)|(^|/)internal(/|$)`)

// mostPublic is how many packages are public at most. A public package is a promise:
// what embedders do not need belongs under internal.
const mostPublic = 20

// TestPublicPackages: docs/embedding.md lists all public packages and no others.
func TestPublicPackages(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/embedding.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Public packages\n")
	if !ok {
		t.Fatal("docs/embedding.md has no section Public packages")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1) {
		listed = append(listed, strings.Replace(m[1], "mayfly", ".", 1))
	}
	var public []string
	for p := range imports(t) {
		if !unpublished.MatchString(p) {
			public = append(public, p)
		}
	}
	slices.Sort(public)
	slices.Sort(listed)
	if !slices.Equal(public, listed) {
		t.Errorf("docs/embedding.md lists\n%q, public are\n%q", listed, public)
	}
	if len(public) > mostPublic {
		t.Errorf("%d packages are public, at most %d are allowed", len(public), mostPublic)
	}
}

// layers are the packages of the programs and of the library, top down. A package may
// import those of its own layer and of the layers below. Entries are expressions for
// whole paths.
var layers = [][]string{
	{`cmd/.*`, `guest/check`},
	{`\.`},
	{`internal/machine`, `internal/doctor`, `internal/confine/monitor`, `internal/broker`, `internal/child`},
	{`internal/boot`, `internal/layout`, `internal/loader`, `internal/reports`},
	{`internal/hypervisor(/.*)?`},
	{`virtio/(blk|console|rng|vnet|vsock)`, `internal/device/.*`, `internal/transport/.*`, `internal/usernet`, `virtio/virtiotest`},
	{`virtio`, `virtio/internal/.*`, `internal/bus`, `internal/pci`},
	{`acpi`, `kernel(/unpack)?`, `linuxboot`},
	{`memory`},
	{`disk(/qcow2)?`, `kvm`, `pvh`, `ratelimit`, `smbios`, `timeline`, `internal/[a-z0-9]+`},
	{`internal/sys/.*`},
}

// layerOf is the number of a package's layer, from the top; -1: it has none, such as
// internal packages that only tests import.
func layerOf(pkg string) int {
	if strings.HasPrefix(pkg, "internal/") && strings.HasSuffix(pkg, "test") {
		return -1
	}
	for i, l := range layers {
		for _, e := range l {
			if regexp.MustCompile(`^(` + e + `)$`).MatchString(pkg) {
				return i
			}
		}
	}
	return -1
}

func TestImportsPointDownwards(t *testing.T) {
	all := imports(t)
	for _, pkg := range slices.Sorted(maps.Keys(all)) {
		mine := layerOf(pkg)
		if mine < 0 {
			if !unpublished.MatchString(pkg) {
				t.Errorf("%s has no layer", pkg)
			}
			continue // a tool, a guest, or there for tests
		}
		for _, i := range all[pkg] {
			switch theirs := layerOf(i); {
			case theirs < 0:
				t.Errorf("%s imports %s, which is no part of the library", pkg, i)
			case theirs < mine:
				t.Errorf("%s imports %s, which is above it", pkg, i)
			}
		}
	}
}

func TestWhatPackagesDoWithout(t *testing.T) {
	all := imports(t)
	for _, rule := range []struct{ pkgs, without, why string }{
		{`pvh`, `.*`, "it is of use alone"},
		{`virtio/.*|internal/(device|transport)/.*`, `internal/hypervisor(/.*)?|kvm`, "a device does not know what runs the processors"},
		{`internal/machine`, `\.|cmd/.*`, "it does not know its owner"},
	} {
		pkgs, without := regexp.MustCompile(`^(`+rule.pkgs+`)$`), regexp.MustCompile(`^(`+rule.without+`)$`)
		for pkg, list := range all {
			for _, i := range list {
				if pkgs.MatchString(pkg) && without.MatchString(i) {
					t.Errorf("%s imports %s: %s", pkg, i, rule.why)
				}
			}
		}
	}
}

func TestLayers(t *testing.T) {
	for pkg, want := range map[string]string{
		"cmd/mayfly": `cmd/.*`, ".": `\.`, "internal/machine": `internal/machine`, "virtio/blk": `virtio/(blk|console|rng|vnet|vsock)`,
		"internal/bus": `virtio`, "internal/sys/uring": `internal/sys/.*`, "internal/safetext": `disk(/qcow2)?`,
	} {
		if i := layerOf(pkg); i < 0 || layers[i][0] != want {
			t.Errorf("%s is in layer %d", pkg, i)
		}
	}
	for _, pkg := range []string{"lab", "virtio/new", "test/linux", "scripts/runtests", "internal/statetest"} {
		if i := layerOf(pkg); i >= 0 {
			t.Errorf("%s is in layer %d", pkg, i)
		}
	}
}
