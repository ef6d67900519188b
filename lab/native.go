package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// runNative runs the job on this machine, in a directory of its own that has
// links to the job's files.
func runNative(ctx context.Context, j Job, p Place) (Result, error) {
	r := Result{Where: p, ExitCode: -1}
	dir, err := os.MkdirTemp("", "mayfly-lab-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	for name, host := range j.Files {
		if err := linkInto(dir, name, host); err != nil {
			return r, err
		}
	}
	for name, host := range j.Disks {
		// Holes stay holes, and a file system that shares extents copies none.
		cmd := exec.CommandContext(ctx, "cp", "--sparse=auto", "--reflink=auto", "--", host, filepath.Join(dir, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			return r, fmt.Errorf("lab: disk %q: %w: %s", name, err, out)
		}
	}
	program, err := filepath.Abs(j.Program)
	if err != nil {
		return r, err
	}
	out := newOutput(j.Stdout, j.Stderr)
	timed, cancel := context.WithTimeoutCause(ctx, j.Timeout, ErrTimeout)
	defer cancel()
	cmd := exec.CommandContext(timed, program, j.Args...)
	cmd.Dir = dir
	own := []string{InsideEnv + "=native", "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH")}
	cmd.Env = append(append(os.Environ(), own...), j.Env...)
	cmd.Stdout, cmd.Stderr = out.stdout(), out.stderr()
	// As in the nest: a Go program prints its goroutines before it is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 5 * time.Second
	start := time.Now()
	err = cmd.Run()
	r.Elapsed = time.Since(start)
	r.Output = out.bytes()
	if cmd.ProcessState != nil {
		r.ExitCode = cmd.ProcessState.ExitCode()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.ExitCode = 128 + int(ws.Signal())
		}
	}
	r.Files = map[string][]byte{}
	for _, name := range j.Collect {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			r.Files[name] = b
		}
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case timed.Err() != nil:
		return r, fmt.Errorf("lab: %s was killed after %v: %w", strings.Join(cmd.Args, " "), j.Timeout, ErrTimeout)
	case err != nil && !errors.As(err, &exit):
		return r, fmt.Errorf("lab: run %s: %w", program, err)
	}
	return r, nil
}

func linkInto(dir, name, host string) error {
	abs, err := filepath.Abs(host)
	if err != nil {
		return err
	}
	if _, err := os.Stat(abs); err != nil {
		return fmt.Errorf("lab: file %q: %w", name, err)
	}
	to := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Symlink(abs, to)
}
