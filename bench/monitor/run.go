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
	cmd  *exec.Cmd
	out  *os.File
}

// Start runs the monitor and returns when its standard output has shown word.
func Start(m Monitor, vm Machine, dir, word string, limit time.Duration) (*Started, error) {
	args, err := m.Args(vm, dir)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(m.Path, args...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	begin := time.Now()
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	s := &Started{cmd: cmd, out: r}
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
	s.Took = time.Since(begin)
	return s, nil
}

var errEnded = errors.New("gave up")

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// PSS is the process's proportional set size in bytes: its own pages and its
// share of those that it has in common with others.
func (s *Started) PSS() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "Pss:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no Pss in smaps_rollup")
}

// Stop kills the monitor and waits until it is gone.
func (s *Started) Stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.out.Close()
}
