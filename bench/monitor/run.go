package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Started is a monitor that runs.
type Started struct {
	Took  time.Duration // from before exec to the text
	name  string
	dir   string
	cmd   *exec.Cmd
	begin time.Time
	out   *os.File
	said  []byte // on standard output, up to the text
	errs  *bytes.Buffer
}

// Start runs the monitor and returns when its standard output has the text word.
// Files that the monitor needs go into a directory of its own below dir: of
// many that start at once none may overwrite another's.
func Start(m Monitor, vm Machine, dir, word string, limit time.Duration) (*Started, error) {
	s, err := launch(m, vm, dir)
	if err != nil {
		return nil, err
	}
	if err := s.until(limit, func([]byte) bool { return bytes.Contains(s.said, []byte(word)) }); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%s: no %q in %v (%w): it printed %q, and on standard error %q",
			m.Name, word, time.Since(s.begin).Round(time.Millisecond), err, tail(s.said), tail(s.errs.Bytes()))
	}
	return s, nil
}

// Run runs the monitor and gives line each line of its standard output, until
// line returns true; then the monitor is ended.
func Run(m Monitor, vm Machine, dir string, limit time.Duration, line func(string) bool) error {
	s, err := launch(m, vm, dir)
	if err != nil {
		return err
	}
	at := 0
	err = s.until(limit, func([]byte) bool {
		for {
			n := bytes.IndexByte(s.said[at:], '\n')
			if n < 0 {
				return false
			}
			text := string(bytes.TrimRight(s.said[at:at+n], "\r"))
			if at += n + 1; line(text) {
				return true
			}
		}
	})
	s.Stop()
	if err != nil {
		return fmt.Errorf("%s: gave up (%w): it printed %q, and on standard error %q", m.Name, err, tail(s.said), tail(s.errs.Bytes()))
	}
	return nil
}

func launch(m Monitor, vm Machine, dir string) (*Started, error) {
	own, err := os.MkdirTemp(dir, "m")
	if err != nil {
		return nil, err
	}
	s := &Started{name: m.Name, dir: own, errs: &bytes.Buffer{}}
	args, err := m.Args(vm, own)
	if err != nil {
		os.RemoveAll(own)
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		os.RemoveAll(own)
		return nil, err
	}
	s.cmd, s.out = exec.Command(m.Path, args...), r
	s.cmd.Stdout, s.cmd.Stderr = w, s.errs
	if vm.Network == 0 {
		s.begin = time.Now()
		err = s.cmd.Start()
	} else {
		err = Inside(vm.Network, func() error {
			s.begin = time.Now()
			return s.cmd.Start()
		})
	}
	w.Close()
	if err != nil {
		r.Close()
		os.RemoveAll(own)
		return nil, err
	}
	return s, nil
}

// Inside calls f on a thread that is in the network namespace. What f starts
// is there too.
func Inside(network int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(network, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("setns: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// until reads standard output until enough says so.
func (s *Started) until(limit time.Duration, enough func([]byte) bool) error {
	s.out.SetReadDeadline(s.begin.Add(limit))
	buf := make([]byte, 4096)
	for !enough(s.said) {
		n, err := s.out.Read(buf)
		if n == 0 || err != nil {
			return err
		}
		s.said = append(s.said, buf[:n]...)
	}
	s.Took = time.Since(s.begin)
	return nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// PSS is the process's proportional set size in bytes: its own pages and its
// share of those that it has in common with others.
func (s *Started) PSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		s.Stop() // then all that it wrote is there
		return 0, fmt.Errorf("%s is gone already (%w): it printed %q, and on standard error %q", s.name, err, tail(s.said), tail(s.errs.Bytes()))
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}

// Faults is how many page faults that needed no device the process has had, after Stop.
func (s *Started) Faults() int64 {
	return s.cmd.ProcessState.SysUsage().(*syscall.Rusage).Minflt
}

// Stop kills the monitor and waits until it is gone. A second one does nothing.
func (s *Started) Stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.out.Close()
	os.RemoveAll(s.dir)
}

// ProcessorTime is what the process took of the processors, user and system,
// after Stop.
func (s *Started) ProcessorTime() time.Duration {
	return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}
