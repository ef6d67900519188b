package kernels

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A packageRef is one version of one Debian package.
type packageRef struct{ Name, Version string }

// Require installs those of the Debian packages that are missing.
func (m *maker) require(packages ...string) error {
	var missing []string
	for _, p := range packages {
		out, _ := exec.CommandContext(m.ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
		if string(out) != "installed" {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	m.logf("installing %s", strings.Join(missing, " "))
	if err := m.updateLists(); err != nil {
		return err
	}
	return m.asRoot(append([]string{"apt-get", "install", "-qq", "-y", "--no-install-recommends"}, missing...)...)
}

// updateLists fetches apt's lists of packages on a machine that has none.
func (m *maker) updateLists() error {
	if out, err := exec.CommandContext(m.ctx, "apt-cache", "policy", "linux-image-amd64").Output(); err == nil && bytes.Contains(out, []byte("Candidate: 6")) {
		return nil
	}
	m.logf("fetching the lists of packages")
	return m.asRoot("apt-get", "update", "-qq")
}

// asRoot runs a command as root: directly, or through sudo when it asks for no
// password.
func (m *maker) asRoot(argv ...string) error {
	if os.Geteuid() != 0 {
		if exec.Command("sudo", "-n", "true").Run() != nil {
			return fmt.Errorf("not root, and sudo wants a password: please run `sudo %s`", strings.Join(argv, " "))
		}
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	cmd := exec.CommandContext(m.ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return run(cmd)
}

// run runs cmd and puts the end of its output into the error.
func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		tail := out.Bytes()
		if len(tail) > 4000 {
			tail = tail[len(tail)-4000:]
		}
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail)
	}
	return nil
}

// newestImage returns the newest image package of a series such as "6.12" and
// a flavour ("amd64" or "cloud-amd64") that apt knows. Debian serves the same
// image signed, and, in backports, also as "-unsigned"; the signed is taken
// when there is one of the version, since it is what people have installed.
func (m *maker) newestImage(series, flavour string) (packageRef, error) {
	if err := m.updateLists(); err != nil {
		return packageRef{}, err
	}
	out, err := exec.CommandContext(m.ctx, "apt-cache", "pkgnames", "linux-image-"+series+".").Output()
	if err != nil {
		return packageRef{}, fmt.Errorf("apt-cache pkgnames: %w", err)
	}
	name := pickImage(strings.Fields(string(out)), series, flavour)
	if name == "" {
		return packageRef{}, fmt.Errorf("apt knows no package linux-image-%s*-%s; add Debian's archive (for 6.12 on bookworm: bookworm-backports or security) to its sources and run `apt-get update`", series, flavour)
	}
	return m.candidate(name)
}

// pickImage chooses the newest image package among names, or returns "".
func pickImage(names []string, series, flavour string) string {
	best, bestVersion := "", []int(nil)
	for _, n := range names {
		rest := strings.TrimPrefix(n, "linux-image-")
		rest, unsigned := strings.CutSuffix(rest, "-unsigned")
		release, ok := strings.CutSuffix(rest, "-"+flavour)
		if !ok || !strings.HasPrefix(release, series+".") || strings.HasSuffix(release, "-cloud") || strings.HasSuffix(release, "-rt") {
			continue
		}
		v := numbers(release)
		if unsigned {
			v = append(v, 0)
		} else {
			v = append(v, 1)
		}
		if best == "" || compare(v, bestVersion) > 0 {
			best, bestVersion = n, v
		}
	}
	return best
}

// numbers splits a kernel's release such as "6.12.117+deb12" or "6.1.0-56"
// into its numbers.
func numbers(s string) (v []int) {
	for _, f := range strings.FieldsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		n, _ := strconv.Atoi(f)
		v = append(v, n)
	}
	return v
}

func compare(a, b []int) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return len(a) - len(b)
}

// candidate returns the version of the package that apt would install.
func (m *maker) candidate(name string) (packageRef, error) {
	out, err := exec.CommandContext(m.ctx, "apt-cache", "policy", name).Output()
	if err != nil {
		return packageRef{}, fmt.Errorf("apt-cache policy %s: %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && v != "(none)" {
			return packageRef{name, v}, nil
		}
	}
	return packageRef{}, fmt.Errorf("apt has no candidate for the package %s; run `apt-get update`", name)
}

// download fetches the package and returns the path of its .deb.
func (m *maker) download(p packageRef) (string, error) {
	dir := filepath.Join(m.cache, "dl")
	find := func() string {
		found, _ := filepath.Glob(filepath.Join(dir, p.Name+"_"+strings.ReplaceAll(p.Version, ":", "%3a")+"_*.deb"))
		if len(found) == 0 {
			return ""
		}
		return found[0]
	}
	if f := find(); f != "" {
		return f, nil
	}
	// A download that was cut off must not be taken for a whole one.
	tmp := filepath.Join(dir, "partial")
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	m.logf("downloading %s %s", p.Name, p.Version)
	cmd := exec.CommandContext(m.ctx, "apt-get", "download", "-qq", p.Name+"="+p.Version)
	cmd.Dir = tmp
	if err := run(cmd); err != nil {
		return "", err
	}
	got, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	for _, f := range got {
		if err := os.Rename(f, filepath.Join(dir, filepath.Base(f))); err != nil {
			return "", err
		}
	}
	if f := find(); f != "" {
		return f, nil
	}
	return "", fmt.Errorf("apt-get download %s=%s left no such file in %s", p.Name, p.Version, dir)
}
