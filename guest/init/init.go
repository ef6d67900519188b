// Package init0 holds the source of the smallest init, which benchmarks put
// into their guests. The lab builds it: lab.BuildInit.
package init0

import _ "embed"

// Source is the C program; it needs no library.
//
//go:embed source/init.c
var Source string

// CompilerFlags turn it into a static executable of about a kilobyte.
func CompilerFlags() []string {
	return []string{
		"-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
		"-nostdlib", "-static", "-no-pie", "-s", "-Wl,--build-id=none", "-Wl,-z,noseparate-code",
	}
}
