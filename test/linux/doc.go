// Package linux boots Linux on Mayfly and lets the guest report what it found:
// memory map, processors, command line, initrd, kernel log. Its tests run in the
// lab (package lab), on a KVM that can run Linux, one after the other in one
// nest.
//
//	go test ./test/linux                    # all
//	go test ./test/linux -run TestKernels/microvm -v
//	go test ./test/linux -processor=soft            # natively, on the software processor
//
// The guests' first process is guest/testinit; its report is compared with the
// machine's Plan, entry by entry. See expect_test.go for what each Linux must
// find, whatever the test is about.
package linux
