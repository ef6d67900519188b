// Package headertest compares numbers that are written out in Go with those of
// the Linux kernel's headers.
package headertest

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Compare fails for each C expression in want, such as "KVM_RUN" or
// "sizeof(struct kvm_regs)", whose value by the header differs from the one
// given. Names that the installed header is too old to have are logged; when
// they are more than a tenth of all, that is a failure too. Without a C
// compiler or the header the test is skipped. header may name several, with spaces
// between, where one needs another.
func Compare(t testing.TB, header string, want map[string]uint64) {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skipf("no C compiler (cc) on this machine to read %s with", header)
	}
	got, err := values(cc, t.TempDir(), header, want)
	if err != nil {
		if strings.Contains(err.Error(), "No such file") {
			t.Skipf("no %s on this machine (package linux-libc-dev)", header)
		}
		t.Fatal(err)
	}
	missing := 0
	for expr, w := range want {
		g, ok := got[expr]
		switch {
		case !ok:
			missing++
			t.Logf("%s has no %s", header, expr)
		case g != w:
			t.Errorf("%s is %#x in %s, %#x here", expr, g, header, w)
		}
	}
	if missing > len(want)/10 {
		t.Errorf("%s has only %d of %d names", header, len(want)-missing, len(want))
	}
}

// undeclared finds the names in the errors of gcc and of clang.
var undeclared = regexp.MustCompile(`error: (?:'(\w+)' undeclared|use of undeclared identifier '(\w+)')`)

// values evaluates the expressions, without those whose names the header lacks.
func values(cc, dir, header string, exprs map[string]uint64) (map[string]uint64, error) {
	exprs = maps.Clone(exprs)
	for {
		out, err := compile(cc, dir, header, exprs)
		if err == nil {
			return evaluate(filepath.Join(dir, "numbers"))
		}
		before := len(exprs)
		for _, m := range undeclared.FindAllStringSubmatch(out, -1) {
			delete(exprs, m[1]+m[2])
		}
		if len(exprs) == before {
			return nil, fmt.Errorf("%s: %w\n%s", cc, err, out)
		}
	}
}

func compile(cc, dir, header string, exprs map[string]uint64) (output string, err error) {
	var src strings.Builder
	for h := range strings.FieldsSeq(header) {
		fmt.Fprintf(&src, "#include <%s>\n", h)
	}
	src.WriteString("#include <stdio.h>\n#include <stddef.h>\nint main(void) {\n")
	for e := range exprs {
		fmt.Fprintf(&src, "printf(\"%%s=%%lu\\n\", %q, (unsigned long)(%s));\n", e, e)
	}
	src.WriteString("return 0;\n}\n")
	c := filepath.Join(dir, "numbers.c")
	if err := os.WriteFile(c, []byte(src.String()), 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command(cc, "-o", filepath.Join(dir, "numbers"), c)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func evaluate(program string) (map[string]uint64, error) {
	out, err := exec.Command(program).Output()
	if err != nil {
		return nil, err
	}
	got := map[string]uint64{}
	for line := range strings.Lines(string(out)) {
		i := strings.LastIndexByte(line, '=')
		var n uint64
		if _, err := fmt.Sscan(line[i+1:], &n); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		got[line[:i]] = n
	}
	return got, nil
}
