// Command runtests runs the module's tests in the order that suits them and
// prints what people and CI want to see: a line for each package, tests that
// take long, all that failed, and what was skipped and why.
//
//	go run ./scripts/runtests [-run REGEXP] [-short] [-race] [-fuzz TIME] [PACKAGE…]
//
// Packages whose tests start machines in the lab run one after the other, since
// a nest takes a processor for itself; all others go before them. With CI=true
// in the environment a skipped test is a failure, but for the reasons that
// skip.go lists: a tool that isn't installed must not hide a test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.run, "run", "", "only the tests that match `REGEXP`")
	flag.BoolVar(&o.short, "short", false, "leave out the packages that need the lab")
	flag.BoolVar(&o.race, "race", false, "with the race detector")
	flag.StringVar(&o.fuzz, "fuzz", "", "instead of the tests, each fuzz target for `TIME`")
	flag.Parse()
	if o.patterns = flag.Args(); len(o.patterns) == 0 {
		o.patterns = []string{"./..."}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

type options struct {
	run, fuzz   string
	short, race bool
	patterns    []string
}

// Time limits of go test, for each package.
const (
	plainTimeout = "10m"
	labTimeout   = "45m"
)

func run(ctx context.Context, o options) error {
	begin := time.Now()
	plain, inLab, err := packages(ctx, o.patterns)
	if err != nil {
		return err
	}
	if o.fuzz != "" {
		return fuzzAll(ctx, plain, o.fuzz)
	}
	var r report
	args := []string{"-run=" + o.run}
	if o.race {
		args = append(args, "-race")
	}
	r.test(ctx, append(args, "-p=2", "-timeout="+plainTimeout), plain)
	if !o.short && len(inLab) > 0 && ctx.Err() == nil {
		// Before the tests, whose time limits know nothing of downloads and builds.
		for _, what := range []string{"kernels", "images"} {
			if err := command(ctx, "go", "run", "./lab/cmd/"+what).Run(); err != nil {
				return fmt.Errorf("the lab's %s: %w", what, err)
			}
		}
		r.test(ctx, append(args, "-p=1", "-timeout="+labTimeout), inLab)
		r.testSoft(ctx, o, inLab)
	}
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	return r.close(time.Since(begin))
}

// pkg is a package with tests.
type pkg struct{ path, dir string }

// packages lists those with tests: first the plain ones, then those that use
// the lab.
func packages(ctx context.Context, patterns []string) (plain, inLab []pkg, err error) {
	const format = "{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}\t{{.Dir}}\t{{.Module.Path}}\t{{join .TestImports \" \"}} {{join .XTestImports \" \"}}{{end}}"
	c := exec.CommandContext(ctx, "go", append([]string{"list", "-f", format}, patterns...)...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("go list: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 {
			continue
		}
		p := pkg{f[0], f[1]}
		if needsLab(f[2], strings.Fields(f[3])) {
			inLab = append(inLab, p)
		} else {
			plain = append(plain, p)
		}
	}
	return plain, inLab, nil
}

// needsLab reports whether tests with these imports start machines in the lab of
// the module: those that import package lab or one below it.
func needsLab(module string, imports []string) bool {
	return slices.ContainsFunc(imports, func(i string) bool {
		return i == module+"/lab" || strings.HasPrefix(i, module+"/lab/")
	})
}

// command runs with our output.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c
}
