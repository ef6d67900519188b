package distribution

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/lab/images"
)

var (
	all    = flag.Bool("all", false, "run all cases, for hours, in place of a short subset")
	only   = flag.String("only", "", "run the cases SUITE/CASE that match the regular `expression`")
	suites = flag.String("suites", "", "run only these suites, a `list` with commas")
	each   = flag.Duration("each", 10*time.Second, "how long each case with several processors runs")
	scale  = flag.Int("scale", 20, "how many times as slow as the host the guest may be")
	keep   = flag.String("keep", "", "keep what the guest and the chroot printed below this `directory`")
)

// oneProcessor are the suites that want no second processor.
var oneProcessor = []string{"gcc", "node", "apt", kernelSuite, "openssl", "perl", "stress", "python"}

// kernelSuite has programs that judge themselves what kernel and processor do. The host's kernel is another one.
const kernelSuite = "selftests"

// short are the cases that run unless -all is given: some minutes.
const short = `^(gcc|node|apt)/|^selftests/|^perl/(base|cmd)-|^openssl/(aes|sha|rsa_t|params|bntest-bnmul)|^python/1-`

func TestDebian12(t *testing.T) { testSuites(t, images.Debian12Suites, short) }

func TestDebian13(t *testing.T) { testSuites(t, images.Debian13Suites, `^(gcc|node|apt)/`) }

// testSuites runs the suites in a guest and in a chroot and compares them.
func testSuites(t *testing.T, name, subset string) {
	if *all {
		subset = ""
	}
	run := oneProcessor
	if *suites != "" {
		run, subset = strings.Split(*suites, ","), ""
	}
	if *only != "" {
		subset = *only
	}
	j := job{image: needs(t, name), processors: 1, only: subset, suites: run}
	guest := inGuest(t, j)
	judge(t, guest)
	j.suites = slices.DeleteFunc(slices.Clone(run), func(s string) bool { return s == kernelSuite })
	if len(j.suites) > 0 {
		compare(t, guest, inChroot(t, j))
	}
}

// TestFourProcessors runs what several processors do to the same memory at once: stress-ng's locks, and queues
// without locks.
func TestFourProcessors(t *testing.T) {
	image := needs(t, images.Debian12Suites)
	j := job{image: image, processors: 4, suites: []string{"locking"}, only: *only}
	if !*all && *only == "" {
		j.only = "/(futex|mutex|atomic|lockbus|compile|queue)$"
	}
	results := inGuest(t, j)
	for _, c := range slices.Sorted(maps.Keys(results)) {
		if !succeeded(results[c]) {
			t.Errorf("%s:\n%s", c, results[c])
		}
	}
}

// needs is the image, where the test can run.
func needs(t *testing.T, name string) images.Image {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts machines")
	}
	if os.Geteuid() != 0 {
		t.Skip("runs only as root: it mounts images and changes the root directory")
	}
	i, err := images.Get(t.Context(), name, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// results are what cases printed, by SUITE/CASE.
type results map[string]string

// succeeded reports whether a case's output ends with exit code 0.
func succeeded(output string) bool { return strings.HasSuffix("\n"+output, "\nexit 0\n") }

// read reads the files of cases below a directory.
func read(t *testing.T, dir string) results {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*/*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no results in %s: %v", dir, err)
	}
	r := results{}
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name, _ := filepath.Rel(dir, f)
		r[name] = string(b)
	}
	if *keep != "" {
		to := filepath.Join(*keep, t.Name(), filepath.Base(dir))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		os.RemoveAll(to)
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}
