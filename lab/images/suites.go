package images

import (
	_ "embed"
	"strings"
)

// suitePackages are those of the images with suites of tests.
var suitePackages = []string{
	"python3", "perl", "openssl", "nodejs", "stress-ng",
	"gcc", "gcc-multilib", "libc6-dev", "make", "xz-utils", "apt-utils",
}

// suitesScript builds /opt/suites.
//
//go:embed suites.sh
var suitesScript string

// withSuites is the recipe of an image with suites of tests. The packages pythonTests and linuxSource depend
// on the release.
func withSuites(name, suite, pythonTests, linuxSource string) recipe {
	return recipe{
		name: name, suite: suite, packages: append([]string{pythonTests}, suitePackages...),
		script:   settle + strings.ReplaceAll(suitesScript, "@LINUX_SOURCE@", linuxSource) + clean,
		diskSize: 4 << 30, duration: "four minutes",
	}
}
