package distribution

import "regexp"

// explained are differences between guest and chroot that are no defects of the processor.
var explained = []struct {
	name *regexp.Regexp // of cases
	line *regexp.Regexp
	why  string
}{
	{regexp.MustCompile(`^selftests/amx_64$`), regexp.MustCompile(`no CPU xsave support|^exit 1$`), "the processor has no XSAVE"},
	{regexp.MustCompile(`^openssl/srptest$`), regexp.MustCompile(`^#`), "it prints the random numbers that it takes"},
}

// unexplained are the lines of a case that no entry explains.
func unexplained(name string, list []string) (left []string) {
next:
	for _, l := range list {
		for _, e := range explained {
			if e.name.MatchString(name) && e.line.MatchString(l) {
				continue next
			}
		}
		left = append(left, l)
	}
	return left
}
