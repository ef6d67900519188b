// Without these Go keeps two files of the container's CPU quota open.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Mayfly-unpack unpacks a kernel for programs that link no decompressor, such as
// mayfly itself:
//
//	mayfly-unpack KIND LIMIT <packed >vmlinux
//
// KIND is gzip, bzip2, lzma, xz, lzo, lz4 or zstd, LIMIT the most bytes that may
// come out, and standard output an empty regular file. Package compression
// documents what package kernel expects of it.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/mayfly-vm/mayfly/internal/compression"
	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/kernel/unpack"
)

const use = "expected: " + compression.Program + " KIND LIMIT <packed >vmlinux, with gzip, bzip2, lzma, xz, lzo, lz4 or zstd for KIND, and LIMIT in bytes"

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", compression.Program, safetext.Line(err.Error()))
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	if len(args) != 2 {
		return compression.ExitUsage, fmt.Errorf("%d arguments; %s", len(args), use)
	}
	limit, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil || limit < 1 || limit > maxLimit {
		return compression.ExitUsage, fmt.Errorf("limit %q is not one of 1 to %d; %s", args[1], int64(maxLimit), use)
	}
	st, err := os.Stdout.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() != 0 {
		return compression.ExitUsage, fmt.Errorf("standard output is not an empty regular file; %s", use)
	}
	if err := confine.Companion(rights(limit)); err != nil {
		return compression.ExitUsage, err
	}
	err = unpackTo(os.Stdout, compression.Kind(args[0]), limit)
	return compression.ExitCode(err), err
}

func unpackTo(dst *os.File, kind compression.Kind, limit int64) error {
	_, err := unpack.File(dst, os.Stdin, kind, limit)
	if f, ok := err.(*compression.ForeignError); ok {
		// So that the caller can name what it is instead.
		if _, err := dst.WriteAt(f.Head, 0); err != nil {
			return &compression.WriteError{Err: err}
		}
	}
	return err
}
