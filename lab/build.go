package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	init0 "github.com/mayfly-vm/mayfly/guest/init"
	"github.com/mayfly-vm/mayfly/lab/kernels"
)

// Build builds the Go program pkg (an import path, or a path such as
// ./cmd/mayfly) as a static executable, stripped, and returns its file in the
// lab's cache. It needs the go command, and a working directory in the module.
func Build(ctx context.Context, pkg string) (string, error) {
	cache, err := kernels.CacheDir()
	if err != nil {
		return "", err
	}
	// The same package path in another checkout is another program.
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	key := sha256.Sum256(fmt.Append(nil, wd, "\x00", pkg))
	dir := filepath.Join(cache, "bin", fmt.Sprintf("%x", key[:8]))
	name := path.Base(pkg)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(tmp, name), pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if err := runBuild(cmd); err != nil {
		return "", err
	}
	// By renaming, so that one that runs, or that another process is just
	// copying, stays whole.
	to := filepath.Join(dir, name)
	return to, os.Rename(filepath.Join(tmp, name), to)
}

// BuildInit builds the smallest init (guest/init) with the C compiler and
// returns its file in the lab's cache.
func BuildInit(ctx context.Context) (string, error) {
	cache, err := kernels.CacheDir()
	if err != nil {
		return "", err
	}
	flags := init0.CompilerFlags()
	key := sha256.Sum256(fmt.Append(nil, init0.Source, flags))
	to := filepath.Join(cache, "bin", fmt.Sprintf("%x", key[:8]), "init0")
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(to), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	src, bin := filepath.Join(tmp, "init.c"), filepath.Join(tmp, "init0")
	if err := os.WriteFile(src, []byte(init0.Source), 0o644); err != nil {
		return "", err
	}
	if err := runBuild(exec.CommandContext(ctx, "gcc", append(flags, "-o", bin, src)...)); err != nil {
		return "", err
	}
	return to, os.Rename(bin, to)
}

func runBuild(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("lab: %v: %w\n%s", cmd.Args, err, out.Bytes())
	}
	return nil
}
