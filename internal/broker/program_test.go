package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio"
)

// The program connects, confined; when it is killed each Dial is an error at once, and it ends
// with who has started it.
func TestProgram(t *testing.T) {
	t.Setenv("PATH", machinetest.Programs(t))
	dir := t.TempDir()
	listen(t, filepath.Join(dir, "one"))
	listen(t, filepath.Join(dir, "two_7"))
	c, err := Start([]virtio.Peer{{Path: filepath.Join(dir, "one")}, {Path: filepath.Join(dir, "two"), Ports: true}})
	if err != nil {
		t.Fatal(err)
	}
	for peer, port := range []uint32{0, 7} {
		fd, err := c.Dial(peer, port)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
	}
	if _, err := c.Dial(1, 8); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a port that nobody serves: %v", err)
	}
	pid := child(t)
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		begin := time.Now()
		if fd, err := c.Dial(0, 0); !errors.Is(err, ErrGone) {
			t.Errorf("a program that is gone: %d, %v", fd, err)
		}
		if d := time.Since(begin); d > answerTime/2 {
			t.Errorf("took %v", d)
		}
	}

	c, err = Start([]virtio.Peer{{Path: filepath.Join(dir, "one")}})
	if err != nil {
		t.Fatal(err)
	}
	if fd, err := c.Dial(0, 0); err != nil {
		t.Error(err)
	} else {
		unix.Close(fd)
	}
	pid = child(t)
	c.mu.Lock()
	c.giveUp(os.ErrClosed)
	c.mu.Unlock()
	machinetest.Until(t, "the program ends", func() bool {
		got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
		return err == nil && got == pid
	})
}

// child is the program's process, once.
func child(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if strings.Contains(string(b), "("+Program[:min(len(Program), 15)]+")") && len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) && f[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	t.Fatal("the program does not run")
	return 0
}
