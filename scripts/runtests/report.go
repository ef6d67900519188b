package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// event is a line of go test -json (go doc test2json) and of go build -json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type key struct{ pkg, test string }

// report gathers the results of all packages.
type report struct {
	passed  int
	skipped []skip
	failed  []string
	pending map[key]*strings.Builder // output of tests that have not ended
}

// slow is how long a test takes that gets a line of its own, in seconds.
const slow = 3

// test runs go test over the packages.
func (r *report) test(ctx context.Context, args []string, list []pkg) {
	if len(list) == 0 {
		return
	}
	all := []string{"test", "-json", "-count=1"}
	for _, p := range list { // before a package's own flag: what follows one is not for the go command
		all = append(all, p.path)
	}
	c := command(ctx, "go", append(all, args...)...)
	before := len(r.failed)
	pr, pw := io.Pipe()
	c.Stdout = pw
	read := make(chan struct{})
	go func() { defer close(read); r.read(pr) }()
	err := c.Run()
	pw.Close()
	<-read
	if err != nil && len(r.failed) == before {
		r.failed = append(r.failed, "go test: "+err.Error())
	}
}

func (r *report) read(from io.Reader) {
	r.pending = map[key]*strings.Builder{}
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadBytes('\n')
		var e event
		if len(line) > 0 && json.Unmarshal(line, &e) != nil {
			os.Stdout.Write(line)
		} else if len(line) > 0 {
			r.take(e)
		}
		if err != nil {
			return
		}
	}
}

func (r *report) take(e event) {
	k := key{e.Package, e.Test}
	switch {
	case e.Action == "build-output":
		fmt.Print(e.Output)
	case e.Action == "output" && e.Test == "":
		if e.Output != "PASS\n" {
			fmt.Print(e.Output)
		}
	case e.Action == "output":
		if r.pending[k] == nil {
			r.pending[k] = new(strings.Builder)
		}
		r.pending[k].WriteString(e.Output)
	case e.Test == "":
		if e.Action == "fail" {
			r.packageFailed(e.Package)
		}
	case e.Action == "fail":
		r.failed = append(r.failed, e.Package+" "+e.Test)
		r.show(k)
	case e.Action == "skip":
		r.skipped = append(r.skipped, newSkip(k, r.output(k)))
		delete(r.pending, k)
	case e.Action == "pass":
		r.passed++
		delete(r.pending, k)
		if e.Elapsed >= slow && !strings.Contains(e.Test, "/") {
			fmt.Printf("    %s %s %.1fs\n", e.Package, e.Test, e.Elapsed)
		}
	}
}

func (r *report) output(k key) string {
	if b := r.pending[k]; b != nil {
		return b.String()
	}
	return ""
}

func (r *report) show(k key) {
	fmt.Print(r.output(k))
	delete(r.pending, k)
}

// packageFailed shows what the package's tests said that never ended: of a
// crash, that is the crash.
func (r *report) packageFailed(name string) {
	r.failed = append(r.failed, name)
	for k := range r.pending {
		if k.pkg == name {
			r.show(k)
		}
	}
}

// close prints the result of all.
func (r *report) close(took time.Duration) error {
	strict := os.Getenv("CI") == "true"
	for _, s := range r.skipped {
		bad := ""
		if strict && !s.allowed() {
			bad = "   <- not with CI=true"
			r.failed = append(r.failed, s.name+" was skipped: "+s.reason)
		}
		fmt.Printf("skip\t%s: %s%s\n", s.name, s.reason, bad)
	}
	for _, f := range r.failed {
		fmt.Println("FAIL\t" + f)
	}
	sum := fmt.Sprintf("%d tests passed, %d skipped, %d failures in %v", r.passed, len(r.skipped), len(r.failed), took.Round(time.Second))
	if len(r.failed) > 0 {
		return fmt.Errorf("%s", sum)
	}
	fmt.Println("ok  \tall: " + sum)
	return nil
}
