package monitor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Started is a monitor whose guest has said the word.
type Started struct {
	Took time.Duration // from before exec to the word
	name string
	dir  string
	cmd  *exec.Cmd
	out  *os.File
	said []byte // on standard output, up to the word
	errs *bytes.Buffer
}

// Start runs the monitor and returns when its standard output has shown word.
// Files that the monitor needs go into a directory of its own below dir: of
// many that start at once none may overwrite another's.
func Start(m Monitor, vm Machine, dir, word string, limit time.Duration) (*Started, error) {
	own, err := os.MkdirTemp(dir, m.Name+"-")
	if err != nil {
		return nil, err
	}
	s, err := start(m, vm, own, word, limit)
	if err != nil {
		os.RemoveAll(own)
	}
	return s, err
}

func start(m Monitor, vm Machine, dir, word string, limit time.Duration) (*Started, error) {
	args, err := m.Args(vm, dir)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(m.Path, args...)
	stderr := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = w, stderr
	begin := time.Now()
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	s := &Started{name: m.Name, dir: dir, cmd: cmd, out: r, errs: stderr}
	r.SetReadDeadline(begin.Add(limit))
	var seen []byte
	buf := make([]byte, 4096)
	for !bytes.Contains(seen, []byte(word)) {
		n, err := r.Read(buf)
		if n == 0 || err != nil {
			s.Stop()
			return nil, fmt.Errorf("%s: no %q after %v: %w; it printed %q, and on standard error %q",
				m.Name, word, time.Since(begin).Round(time.Millisecond), errors.Join(err, errEnded), tail(seen), tail(stderr.Bytes()))
		}
		seen = append(seen, buf[:n]...)
	}
	s.Took, s.said = time.Since(begin), seen
	return s, nil
}

var errEnded = errors.New("gave up")

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

// Stop kills the monitor and waits until it is gone. A second one does nothing.
func (s *Started) Stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.out.Close()
	os.RemoveAll(s.dir)
}
