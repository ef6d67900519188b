package mayfly_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/child"
)

// TestMain makes this program the one that a guest has taken over, where it runs as mayfly-machine.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == child.Program {
		os.Exit(beTakenOver())
	}
	os.Exit(m.Run())
}

// beTakenOver makes a machine and starts it, as far as its program can tell, and then does what the
// machine's command line says.
func beTakenOver() int {
	conn, err := child.NewConn(child.SocketFD)
	if err != nil {
		return 1
	}
	var does string
	for {
		m, err := conn.ReceiveFDs()
		if err != nil {
			time.Sleep(time.Minute) // its program wants it to end
			return 1
		}
		reply := &child.Message{Number: m.Number}
		switch m.Method {
		case child.New:
			var r child.Machine
			var c mayfly.Config
			if json.Unmarshal(m.Body, &r) != nil || json.Unmarshal(r.Config, &c) != nil {
				return 1
			}
			does = c.Cmdline
			_ = reply.Pack(map[string]any{"RAM": []any{map[string]any{"Addr": 0, "Size": 1 << 20}}, "Devices": []any{map[string]any{"Name": "net 0"}}})
			if r.Out && does == "floods" {
				go flood(m.FDs[len(m.FDs)-1])
			}
		case child.Start:
		default:
			if does != "answers" {
				continue
			}
			reply.Error = &child.Error{Text: "no", Device: "x"}
		}
		if conn.Send(reply, time.Time{}) != nil {
			return 1
		}
		if m.Method == child.Start {
			afterStart(conn, does)
		}
	}
}

func flood(fd int) {
	for {
		if _, err := unix.Write(fd, make([]byte, 4096)); err != nil {
			return
		}
	}
}

func afterStart(conn *child.Conn, does string) {
	event := func(method, body string) {
		_ = conn.Send(&child.Message{Method: method, Body: json.RawMessage(body)}, time.Time{})
	}
	switch does {
	case "lies":
		event(child.Logged, `{"device":"d","error":{"text":"x","device":"y"}}`)
		event(child.Logged, `{"device":"e","error":{"text":"`+strings.Repeat("x", 1<<20)+`","field":"y","cause":{"device":"z"}}}`)
		event(child.Ended, `{"reason":"best","restarts":-7,"lost":18446744073709551615,"lost_cause":{"device":"y"},"error":{"device":"y"}}`)
	case "is deaf":
		_ = unix.Shutdown(child.SocketFD, unix.SHUT_RD)
	}
}

// taken is a process that its guest has taken over.
func taken(t *testing.T, does string, c mayfly.Config) *mayfly.Process {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, child.Program)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	before := mayfly.SetAnswerTime(300 * time.Millisecond)
	t.Cleanup(func() { mayfly.SetAnswerTime(before) })
	c.Kernel, c.Cmdline = file(t, "check.elf", check.ELF), does
	p, err := mayfly.Spawn(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// within fails the test where do takes longer.
func within(t *testing.T, what string, limit time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: takes more than %v", what, limit)
	}
}

// A process that does not answer is killed: no call waits for it, and Kill, Shutdown and Close
// end it.
func TestTakenOverProcessIsEnded(t *testing.T) {
	for name, do := range map[string]func(*mayfly.Process) error{
		"State":    func(p *mayfly.Process) error { p.State(); return nil },
		"Stats":    func(p *mayfly.Process) error { p.Stats(); return nil },
		"Resume":   func(p *mayfly.Process) error { return p.Resume() },
		"SetLink":  func(p *mayfly.Process) error { return p.SetLink("net 0", true) },
		"Kill":     func(p *mayfly.Process) error { return p.Kill() },
		"Close":    func(p *mayfly.Process) error { return p.Close() },
		"Shutdown": func(p *mayfly.Process) error { _, err := p.Shutdown(expired()); return err },
	} {
		for _, does := range []string{"is mute", "is deaf"} {
			t.Run(name+" "+does, func(t *testing.T) {
				leavesNothing(t)
				p := taken(t, does, mayfly.Config{})
				within(t, name, 5*time.Second, func() { _ = do(p) })
				within(t, "Wait", 5*time.Second, func() {
					o, err := p.Wait(context.Background())
					switch name {
					case "Kill", "Close", "Shutdown":
						if o.Reason == mayfly.HostError && name+does == "Shutdownis deaf" {
							return // the power button has found that out
						}
						if o.Reason != mayfly.Killed || err != nil {
							t.Errorf("%+v, %v", o, err)
						}
					default:
						if o.Reason != mayfly.HostError || err == nil {
							t.Errorf("%+v, %v", o, err)
						}
					}
				})
				within(t, "Close", 5*time.Second, func() { p.Close() })
			})
		}
	}
}

// What a process says is bounded, and panics nobody.
func TestTakenOverProcessLies(t *testing.T) {
	leavesNothing(t)
	log := new(records)
	p := taken(t, "lies", mayfly.Config{Logger: slog.New(log)})
	within(t, "Wait", 5*time.Second, func() {
		o, err := p.Wait(context.Background())
		if o.Reason != mayfly.HostError || o.Restarts != 0 || o.LostCause == nil || err == nil {
			t.Errorf("%+v, %v", o, err)
		}
	})
	log.mu.Lock()
	if len(log.list) != 2 || len(log.list[1]) > 64<<10 {
		t.Errorf("%d reports", len(log.list))
	}
	log.mu.Unlock()
	p.Close()
	p = taken(t, "answers", mayfly.Config{})
	if err := p.Resume(); err == nil {
		t.Error("no error")
	}
	p.Close()
}

// The limit of the console holds whatever the process writes.
func TestTakenOverProcessFloods(t *testing.T) {
	leavesNothing(t)
	var out bytes.Buffer
	p := taken(t, "floods", mayfly.Config{Console: mayfly.Console{Out: &out, Limit: 100}})
	time.Sleep(50 * time.Millisecond)
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	o, err := p.Wait(t.Context())
	if o.Lost == 0 || o.LostCause == nil || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
	p.Close()
	if out.Len() != 100 {
		t.Errorf("%d bytes were written", out.Len())
	}
}

// Calls that can't be sent are errors, of the call alone.
func TestSpawnCallsThatCannotBeSent(t *testing.T) {
	programs(t, "")
	leavesNothing(t)
	if _, err := mayfly.Spawn(mayfly.Config{Kernel: strings.Repeat("x", 5<<20)}); err == nil {
		t.Error("a path of 5 MiB")
	}
	p := spawn(t, mayfly.Config{Kernel: file(t, "check.elf", check.ELF)})
	if err := p.SetLink(strings.Repeat("x", 5<<20), true); !errors.Is(err, mayfly.ErrNoDevice) {
		t.Errorf("a name of 5 MiB: %.100v", fmt.Sprint(err))
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Start(ctx); !errors.Is(err, mayfly.ErrStarted) {
		t.Errorf("a second Start: %v", err)
	}
	if err := p.Pause(expired()); !errors.Is(err, context.DeadlineExceeded) || p.State() != mayfly.StateRunning {
		t.Errorf("Pause: %v, %s", err, p.State())
	}
	p.Close()
	q := spawn(t, mayfly.Config{Kernel: file(t, "check.elf", check.ELF)})
	q.Close()
	if o, err := q.Wait(t.Context()); !errors.Is(err, mayfly.ErrClosed) {
		t.Errorf("Wait of a machine that was closed before its start: %+v, %v", o, err)
	}
}
