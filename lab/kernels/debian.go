package kernels

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ulikunitz/xz"

	"github.com/mayfly-vm/mayfly/lab/internal/cache"
)

// unpack makes one of Debian's kernels.
func (m *maker) unpack(k Kernel) error {
	series, flavour := strings.TrimPrefix(k.Name, "debian-"), "amd64"
	if s, ok := strings.CutSuffix(series, "-cloud"); ok {
		series, flavour = s, "cloud-amd64"
	}
	p, err := m.newestImage(series, flavour)
	if err != nil {
		return err
	}
	key := p.Name + " " + p.Version + " " + modulesKey()
	if old, err := os.ReadFile(filepath.Join(k.Dir, "key")); err == nil && string(old) == key {
		return nil
	}
	deb, err := m.Download(p)
	if err != nil {
		return err
	}
	m.Logf("unpacking %s", filepath.Base(deb))
	tmp := k.Dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(tmp, "modules"), 0o755); err != nil {
		return err
	}
	if err := m.unpackDeb(deb, tmp); err != nil {
		return err
	}
	if err := m.unpackVmlinux(filepath.Join(tmp, "vmlinuz"), filepath.Join(tmp, "vmlinux")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, "key"), []byte(key), 0o644); err != nil {
		return err
	}
	return cache.Replace(tmp, k.Dir)
}

// unpackDeb takes the kernel, its configuration and the wanted modules
// out of a package; the other 4,000 stay in it.
func (m *maker) unpackDeb(deb, dir string) error {
	cmd := exec.CommandContext(m.Context, "dpkg-deb", "--fsys-tarfile", deb)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w (dpkg-deb belongs to every Debian system)", err)
	}
	err = pickFiles(out, dir)
	if err != nil {
		cmd.Process.Kill()
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("dpkg-deb --fsys-tarfile %s: %w: %s", deb, werr, bytes.TrimSpace(stderr.Bytes()))
	}
	return err
}

func pickFiles(r io.Reader, dir string) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		content, to := io.Reader(t), ""
		switch base := path.Base(h.Name); {
		case strings.HasPrefix(base, "vmlinuz-"):
			to = "vmlinuz"
		case strings.HasPrefix(base, "config-"):
			to = "config"
		default:
			name, packed := strings.CutSuffix(base, ".xz")
			if mod, ok := strings.CutSuffix(name, ".ko"); ok && slices.Contains(wantedModules, mod) {
				to = filepath.Join("modules", name)
			}
			if to != "" && packed {
				if content, err = xz.NewReader(t); err != nil {
					return fmt.Errorf("%s: %w", h.Name, err)
				}
			}
		}
		if to == "" || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(filepath.Join(dir, to), content); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func writeFile(name string, r io.Reader) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
