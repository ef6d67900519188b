package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mayfly-vm/mayfly"
)

// fakeVM tells each call on a channel, so that a test needs no waiting.
type fakeVM struct{ calls chan string }

func (f fakeVM) PowerButton() error { f.calls <- "button"; return nil }
func (f fakeVM) Kill() error        { f.calls <- "kill"; return nil }

func TestKiller(t *testing.T) {
	const leave = syscall.Signal(0)
	for _, c := range []struct {
		name    string
		signals []syscall.Signal
		want    string
		code    int
	}{
		{"one SIGINT", []syscall.Signal{syscall.SIGINT}, "button", exitOK},
		{"two SIGINT", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, "button kill", exitInt},
		{"SIGINT, then SIGTERM", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, "button kill", exitTerm},
		{"two SIGTERM", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, "button kill", exitTerm},
		{"SIGHUP", []syscall.Signal{syscall.SIGHUP}, "kill", exitHangup},
		{"SIGQUIT", []syscall.Signal{syscall.SIGQUIT}, "kill", exitQuit},
		{"SIGCONT", []syscall.Signal{syscall.SIGCONT}, "resumed", exitOK},
		{"Ctrl-A x", []syscall.Signal{leave}, "kill", exitOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm := fakeVM{make(chan string, 8)}
			k := &killer{vm: vm, say: func(string) {}, resumed: func() { vm.calls <- "resumed" }, started: make(chan struct{}), over: make(chan struct{}), code: make(chan int, 1)}
			close(k.started)
			signals, left := make(chan os.Signal), make(chan struct{})
			go k.listen(signals, left)
			for _, s := range c.signals {
				if s == leave {
					close(left)
				} else {
					signals <- s
				}
			}
			for _, want := range strings.Fields(c.want) {
				if got := <-vm.calls; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			close(k.over)
			if code := <-k.code; code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
		})
	}
}

// A start under way is ended by the first signal: there is no button yet.
func TestKillerWhileStarting(t *testing.T) {
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: exitInt, syscall.SIGTERM: exitTerm, syscall.SIGHUP: exitHangup, 0: exitOK} {
		aborted := make(chan int, 8)
		k := &killer{abort: func(code int) { aborted <- code }, started: make(chan struct{}), over: make(chan struct{}), code: make(chan int, 1)}
		signals, left := make(chan os.Signal), make(chan struct{})
		go k.listen(signals, left)
		if s == 0 {
			close(left)
		} else {
			signals <- s
		}
		if code := <-aborted; code != want {
			t.Errorf("%v: aborted with %d, want %d", s, code, want)
		}
		close(k.started)
		close(k.over)
		if code := <-k.code; code != want {
			t.Errorf("%v: code %d, want %d", s, code, want)
		}
	}
}

// Each end of a machine has a code, and each code is explained.
func TestEveryEndHasItsDocumentedCode(t *testing.T) {
	documented := map[string]bool{}
	for _, r := range exitTable().Rows {
		documented[r.Name] = true
	}
	for r, want := range map[mayfly.Reason]int{
		mayfly.PowerOff: 0, mayfly.Halted: 0, mayfly.Rebooted: 0, mayfly.Panicked: 3, mayfly.TripleFault: 4, mayfly.Hung: 4, mayfly.InternalError: 5,
		mayfly.FailedEntry: 5, mayfly.ImageChanged: 6, mayfly.Killed: 130, mayfly.HostError: 1,
	} {
		code, text := ending(r, exitInt)
		if code != want || text == "" {
			t.Errorf("%v: %d %q, want %d", r, code, text, want)
		}
	}
	for _, code := range []string{"0", "1", "2", "3", "4", "5", "6", "129", "130", "131", "143"} {
		if !documented[code] {
			t.Errorf("code %s is not in the table", code)
		}
	}
}
