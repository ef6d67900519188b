package kernels

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	microvm "github.com/mayfly-vm/mayfly/guest/kernel"
	"github.com/mayfly-vm/mayfly/lab/internal/cache"
	"github.com/mayfly-vm/mayfly/lab/internal/debian"
)

// sourcePackage is Debian's package with the source of the small kernels.
const sourcePackage = "linux-source-6.12"

// fragment is the configuration that the small kernel name is built with.
func fragment(name string) string {
	if name == MicrovmNoPVH {
		return strings.ReplaceAll(microvm.Config, "CONFIG_PVH=y\n", "") + microvm.NoPVH
	}
	return microvm.Config
}

// fragmentKey is the part of a small kernel's key that depends on us.
func fragmentKey(name string) string {
	return fmt.Sprintf("fragment %x", sha256.Sum256([]byte(fragment(name))))
}

// build makes a small kernel. All are built in one tree, so that the second
// only costs what differs.
func (m *maker) build(k Kernel) error {
	if err := m.Require("build-essential", "flex", "bison", "libelf-dev", "libssl-dev", "bc", "xz-utils", "zstd", "cpio", "kmod"); err != nil {
		return err
	}
	if err := m.UpdateLists(); err != nil {
		return err
	}
	src, err := m.Candidate(sourcePackage)
	if err != nil {
		return err
	}
	key := src.Name + " " + src.Version + " " + fragmentKey(k.Name)
	if old, err := os.ReadFile(filepath.Join(k.Dir, "key")); err == nil && string(old) == key {
		return nil
	}
	tree, err := m.sourceTree(src)
	if err != nil {
		return err
	}
	if err := m.configure(tree, fragment(k.Name)); err != nil {
		return err
	}
	m.Logf("building %s (about 4 minutes on two processors when nothing is built yet)", k.Name)
	if err := m.make(tree, fmt.Sprintf("-j%d", runtime.NumCPU()), "vmlinux", "bzImage"); err != nil {
		return err
	}
	return m.keepBuilt(k, tree, key)
}

// sourceTree unpacks the source, once for each version.
func (m *maker) sourceTree(src debian.Package) (string, error) {
	dir := filepath.Join(m.Cache, "build", src.Name+"_"+src.Version)
	tree := filepath.Join(dir, sourcePackage)
	if _, err := os.Stat(filepath.Join(tree, "Makefile")); err == nil {
		return tree, nil
	}
	deb, err := m.Download(src)
	if err != nil {
		return "", err
	}
	m.Logf("unpacking %s", filepath.Base(deb))
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return "", err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	if err := debian.Run(exec.CommandContext(m.Context, "dpkg-deb", "-x", deb, tmp)); err != nil {
		return "", err
	}
	archive := filepath.Join(tmp, "usr/src", sourcePackage+".tar.xz")
	if err := debian.Run(exec.CommandContext(m.Context, "tar", "-C", tmp, "-xf", archive)); err != nil {
		return "", err
	}
	if err := os.RemoveAll(filepath.Join(tmp, "usr")); err != nil {
		return "", err
	}
	return tree, cache.Replace(tmp, dir)
}

// configure applies the fragment over allnoconfig and checks that every line
// of it came through: Kconfig drops silently what a dependency forbids.
func (m *maker) configure(tree, fragment string) error {
	file := filepath.Join(filepath.Dir(tree), "fragment.config")
	if err := os.WriteFile(file, []byte(fragment), 0o644); err != nil {
		return err
	}
	if err := m.make(tree, "KCONFIG_ALLCONFIG="+file, "allnoconfig"); err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(tree, ".config"))
	if err != nil {
		return err
	}
	return checkConfig(fragment, string(got))
}

func checkConfig(fragment, got string) error {
	have := map[string]bool{}
	for line := range strings.Lines(got) {
		have[strings.TrimSpace(line)] = true
	}
	var lost []string
	for sc := bufio.NewScanner(strings.NewReader(fragment)); sc.Scan(); {
		line := sc.Text()
		off, isOff := strings.CutSuffix(line, " is not set")
		switch {
		case strings.HasPrefix(line, "CONFIG_") && !have[line]:
			lost = append(lost, line)
		case isOff && have[strings.TrimPrefix(off, "# ")+"=y"]:
			lost = append(lost, line)
		}
	}
	if lost != nil {
		return fmt.Errorf("the kernel's configuration does not take these lines of the fragment: %s", strings.Join(lost, ", "))
	}
	return nil
}

func (m *maker) make(tree string, args ...string) error {
	cmd := exec.CommandContext(m.Context, "make", append([]string{"-s"}, args...)...)
	cmd.Dir = tree
	// The same source gives the same kernel, whoever builds it and when.
	cmd.Env = append(os.Environ(), "KBUILD_BUILD_TIMESTAMP=2026-01-01", "KBUILD_BUILD_USER=mayfly", "KBUILD_BUILD_HOST=lab", "KBUILD_BUILD_VERSION=1", "LC_ALL=C")
	return debian.Run(cmd)
}

func (m *maker) keepBuilt(k Kernel, tree, key string) error {
	tmp := k.Dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{"vmlinux": "vmlinux", "arch/x86/boot/bzImage": "vmlinuz", ".config": "config"} {
		f, err := os.Open(filepath.Join(tree, from))
		if err != nil {
			return err
		}
		err = writeFile(filepath.Join(tmp, to), f)
		f.Close()
		if err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(tmp, "key"), []byte(key), 0o644); err != nil {
		return err
	}
	return cache.Replace(tmp, k.Dir)
}
