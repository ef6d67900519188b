package main

import (
	"regexp"
	"strings"
	"sync"

	"github.com/mayfly-vm/mayfly/lab"
)

// skip is a test that said it can't run here.
type skip struct{ name, reason string }

// reasonLine is what t.Skip prints: "    file_test.go:12: reason".
var reasonLine = regexp.MustCompile(`(?m)^\s*\w+\.go:\d+: (.*)$`)

func newSkip(k key, output string) skip {
	s := skip{name: k.pkg + " " + k.test, reason: "no reason given"}
	if found := reasonLine.FindAllStringSubmatch(output, -1); found != nil {
		s.reason = strings.TrimSpace(found[len(found)-1][1])
	}
	return s
}

// allowedReasons are those for which a test may be skipped in CI too: it needs
// what only a person gives, or what no package of the distribution brings.
var allowedReasons = []string{
	"only with -update",
	"MAYFLY_",   // a variable of ours that names a peer's program or a folder
	"found gcc", // the proof of the guest's bytes wants the compiler that made them
	"refuses to overcommit",
	"as root",
	"not as root",
	"huge pages",             // the host's reserved pool
	"the software processor", // what it does not do; on KVM the test runs
	"/dev/vhost-",            // a module of the host's; test/vhost and test/devices run these in the nest, which has it
}

// hostKVM reports whether this host's KVM runs any guest.
var hostKVM = sync.OnceValue(func() bool {
	p, err := lab.Where()
	return err == nil && p.Native
})

func (s skip) allowed() bool {
	for _, a := range allowedReasons {
		if strings.Contains(s.reason, a) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(s.reason), "kvm") && !hostKVM()
}
