package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Main runs a package's tests in the lab. Call it from TestMain:
//
//	func TestMain(m *testing.M) {
//		lab.Main(m, func(ctx context.Context) (lab.Job, error) {
//			mayfly, err := lab.Build(ctx, "./../cmd/mayfly")
//			return lab.Job{Files: map[string]string{"mayfly": mayfly}}, err
//		})
//	}
//
// On the outside, prepare says what the tests need; Program, Args and the
// output are Main's. Main then runs the test binary a second time, in the lab
// and with the same flags; that one finds the files in its working directory,
// together with the package's testdata, and runs the tests. Profiles and
// coverage come back to where the flags say. Build the tests with
// CGO_ENABLED=0: the nest has no shared libraries.
//
// [Inside] distinguishes the two. Main does not return.
func Main(m *testing.M, prepare func(context.Context) (Job, error)) {
	if Inside() != "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := runTests(ctx, prepare)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// Inside is "native" or "nest" for a program that runs in the lab, and empty
// for others.
func Inside() string { return os.Getenv(InsideEnv) }

func runTests(ctx context.Context, prepare func(context.Context) (Job, error)) (int, error) {
	if listsOnly(os.Args[1:]) {
		return 1, errors.New("lab: -test.list is not supported: the tests are listed in the lab only")
	}
	j, err := prepare(ctx)
	if err != nil {
		return 1, err
	}
	if j.Program, err = os.Executable(); err != nil {
		return 1, err
	}
	flags := translate(os.Args[1:])
	j.Args, j.Stdout, j.Stderr = flags.args, os.Stdout, os.Stderr
	for name := range flags.outputs {
		j.Collect = append(j.Collect, name)
	}
	if j.Timeout == 0 && flags.timeout > 0 {
		// The tests' own limit comes first, since its message is the better.
		j.Timeout = flags.timeout + 10*time.Second
	}
	if _, err := os.Stat("testdata"); err == nil {
		if j.Files == nil {
			j.Files = map[string]string{}
		}
		if _, ok := j.Files["testdata"]; !ok {
			j.Files["testdata"] = "testdata"
		}
	}
	r, err := runAgain(ctx, j)
	for name, b := range r.Files {
		if to, ok := flags.outputs[name]; ok {
			err = errors.Join(err, os.WriteFile(to, b, 0o644))
		}
	}
	if err != nil {
		return 1, err
	}
	if verbose(flags.args) {
		fmt.Fprintf(os.Stderr, "lab: ran for %v %v\n", r.Elapsed.Round(time.Millisecond), r.Where)
	}
	return r.ExitCode, nil
}

// attempts is how often tests are begun where the nest itself fails them.
const attempts = 3

// runAgain runs the job from the beginning when the nest, not the program, has
// failed: its emulated processor stands still once in some dozens of long runs,
// with all of L1. A program that makes the nest fail does so each time.
func runAgain(ctx context.Context, j Job) (r Result, err error) {
	for i := range attempts {
		var nest *NestError
		if r, err = Run(ctx, j); !errors.As(err, &nest) || i == attempts-1 || ctx.Err() != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "lab: %v\nlab: begun again from the first test (attempt %d of %d)\n", err, i+2, attempts)
	}
	return r, err
}

// testFlags are the flags of a test binary, translated for the lab.
type testFlags struct {
	args    []string
	timeout time.Duration
	outputs map[string]string // file in the lab to file here
}

// outputFlags name files that a test binary writes.
var outputFlags = []string{"coverprofile", "cpuprofile", "memprofile", "blockprofile", "mutexprofile", "trace"}

// translate drops the flags that only the go command's bookkeeping needs and
// turns the files that the tests write into files of the lab. The go command
// always writes -test.name=value.
func translate(args []string) testFlags {
	f := testFlags{outputs: map[string]string{}}
	outputDir := ""
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "-test.outputdir="); ok {
			outputDir = v
		}
	}
next:
	for i, a := range args {
		if a == "-args" || a == "--" || !strings.HasPrefix(a, "-") {
			f.args = append(f.args, args[i:]...)
			return f
		}
		name, value, _ := strings.Cut(strings.TrimPrefix(a, "-test."), "=")
		switch name {
		case "testlogfile", "outputdir", "gocoverdir":
			continue
		case "timeout":
			f.timeout, _ = time.ParseDuration(value)
		}
		for _, o := range outputFlags {
			if name == o && value != "" {
				if !filepath.IsAbs(value) {
					value = filepath.Join(outputDir, value)
				}
				f.outputs[o+".out"] = value
				f.args = append(f.args, "-test."+o+"="+o+".out")
				continue next
			}
		}
		f.args = append(f.args, a)
	}
	return f
}

func listsOnly(args []string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "-test.list=") && a != "-test.list=" {
			return true
		}
	}
	return false
}

func verbose(args []string) bool {
	for _, a := range args {
		if strings.HasPrefix(a, "-test.v=") && a != "-test.v=false" || a == "-test.v" {
			return true
		}
	}
	return false
}
