// Package debian asks apt for packages, and runs what must run as root.
package debian

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Package is one version of one Debian package.
type Package struct{ Name, Version string }

// A Client speaks to apt. Progress gets a line for each step that takes time.
type Client struct {
	Context  context.Context
	Cache    string // of the lab
	Progress io.Writer
}

// Logf reports a step.
func (m *Client) Logf(format string, args ...any) {
	fmt.Fprintf(m.Progress, "lab: "+format+"\n", args...)
}

// Require installs those of the Debian packages that are missing.
func (m *Client) Require(packages ...string) error {
	var missing []string
	for _, p := range packages {
		out, _ := exec.CommandContext(m.Context, "dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output()
		if string(out) != "installed" {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	m.Logf("installing %s", strings.Join(missing, " "))
	if err := m.UpdateLists(); err != nil {
		return err
	}
	return m.AsRoot(append([]string{"apt-get", "install", "-qq", "-y", "--no-install-recommends"}, missing...)...)
}

// UpdateLists fetches apt's lists of packages on a machine that has none.
func (m *Client) UpdateLists() error {
	if out, err := exec.CommandContext(m.Context, "apt-cache", "policy", "linux-image-amd64").Output(); err == nil && bytes.Contains(out, []byte("Candidate: 6")) {
		return nil
	}
	m.Logf("fetching the lists of packages")
	return m.AsRoot("apt-get", "update", "-qq")
}

// AsRoot runs a command as root: directly, or through sudo when it asks for no
// password.
func (m *Client) AsRoot(argv ...string) error {
	if os.Geteuid() != 0 {
		if exec.Command("sudo", "-n", "true").Run() != nil {
			return fmt.Errorf("not root, and sudo wants a password: please run `sudo %s`", strings.Join(argv, " "))
		}
		argv = append([]string{"sudo", "-n"}, argv...)
	}
	cmd := exec.CommandContext(m.Context, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return Run(cmd)
}

// Run runs cmd and puts the end of its output into the error.
func Run(cmd *exec.Cmd) error {
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

// Candidate returns the version of the package that apt would install.
func (m *Client) Candidate(name string) (Package, error) {
	out, err := exec.CommandContext(m.Context, "apt-cache", "policy", name).Output()
	if err != nil {
		return Package{}, fmt.Errorf("apt-cache policy %s: %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && v != "(none)" {
			return Package{name, v}, nil
		}
	}
	return Package{}, fmt.Errorf("apt has no candidate for the package %s; run `apt-get update`", name)
}

// Download fetches the package and returns the path of its .deb.
func (m *Client) Download(p Package) (string, error) {
	dir := filepath.Join(m.Cache, "dl")
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
	m.Logf("downloading %s %s", p.Name, p.Version)
	cmd := exec.CommandContext(m.Context, "apt-get", "download", "-qq", p.Name+"="+p.Version)
	cmd.Dir = tmp
	if err := Run(cmd); err != nil {
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
