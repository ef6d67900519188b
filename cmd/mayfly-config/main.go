// Without these Go keeps two files of the container's CPU quota open.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Mayfly-config turns a machine's YAML into JSON for programs that link no YAML,
// such as mayfly itself:
//
//	mayfly-config <machine.yaml >machine.json
//
// Each value stands in the line that it had, so that errors about it name the
// right one. Exit code 1 is YAML that is not valid; standard error then has
// "LINE: what", or "0: what" where the line isn't known. Any other code but 0 is
// an error of the host.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/internal/yamljson"
)

// limits are against a file that makes the parser take CPU time or memory without end. 1 MiB of YAML
// takes some 0.2 s and 200 MB.
var limits = confine.Limits{AddressSpace: 4 << 30, CPUSeconds: 20}

const (
	exitInvalid = 1
	exitHost    = 2
)

func main() {
	if len(os.Args) > 1 {
		fail(exitHost, fmt.Errorf("mayfly-config takes no argument, found %q: mayfly-config <machine.yaml >machine.json", os.Args[1]))
	}
	if err := confine.Companion(confine.Rights{Limits: limits, Files: landlock.Rules{Scope: true}, Calls: confine.Converter}); err != nil {
		fail(exitHost, err)
	}
	in, err := io.ReadAll(io.LimitReader(os.Stdin, yamljson.MaxInput+1))
	if err != nil {
		fail(exitHost, err)
	}
	out, err := yamljson.Convert(in)
	if err != nil {
		fail(exitInvalid, err)
	}
	if _, err := os.Stdout.Write(out); err != nil {
		fail(exitHost, err)
	}
}

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, safetext.Line(err.Error()))
	os.Exit(code)
}
