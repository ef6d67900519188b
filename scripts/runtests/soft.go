package main

import (
	"context"
	"strings"
)

// softSubset are the packages of the lab that take -processor, and those of their tests that also run natively on
// the software processor each time. All do with
//
//	go test ./test/linux ./test/devices -p=1 -processor=soft -timeout=3h
var softSubset = map[string]string{
	"/test/linux":   "^(TestCheckGuest|TestEnds|TestExitCodes|TestKernelTruncatedUnderLinux|TestSeveralInitrds|TestPowerButton)$",
	"/test/devices": "^(TestDisk|TestSmallDevices|TestHostileGuest|TestPanicDevice|TestRootOnDisk)$",
}

// testSoft runs these.
func (r *report) testSoft(ctx context.Context, o options, inLab []pkg) {
	for _, p := range inLab {
		for suffix, run := range softSubset {
			if !strings.HasSuffix(p.path, suffix) || ctx.Err() != nil {
				continue
			}
			if o.run != "" {
				run = o.run
			}
			r.test(ctx, []string{"-run=" + run, "-timeout=" + labTimeout, "-processor=soft"}, []pkg{p})
		}
	}
}
