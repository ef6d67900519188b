// Package distribution runs suites of tests in Debian guests on the software processor: of python, perl and
// openssl, a compiler's and a JIT's programs, apt, stress-ng and Linux' selftests/x86. The same programs run natively
// in a chroot of the same image, and what both print is compared line by line.
//
//	go test ./test/soft/distribution -v              # a short subset
//	go test ./test/soft/distribution -v -all -timeout 5h
//	go test ./test/soft/distribution -v -suites perl,openssl -only 'sha|op-' -run Debian12
//
// testdata/suites.sh has the suites; package lab/images makes the images. Differences that are no defect of the
// processor are listed in explained_test.go, each with its reason.
package distribution
