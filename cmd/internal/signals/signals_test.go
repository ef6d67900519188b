package signals

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
)

// fakeVM sends each call on a channel, so that a test needs no waiting.
type fakeVM struct{ calls chan string }

func (f fakeVM) PowerButton() error { f.calls <- "button"; return nil }
func (f fakeVM) Kill() error        { f.calls <- "kill"; return nil }

func TestHandler(t *testing.T) {
	const leave = syscall.Signal(0)
	for _, c := range []struct {
		name    string
		signals []syscall.Signal
		want    string
		code    int
	}{
		{"one SIGINT", []syscall.Signal{syscall.SIGINT}, "button", exit.OK},
		{"two SIGINT", []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, "button kill", exit.Signal + 2},
		{"SIGINT, then SIGTERM", []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, "button kill", exit.Signal + 15},
		{"two SIGTERM", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, "button kill", exit.Signal + 15},
		{"SIGHUP", []syscall.Signal{syscall.SIGHUP}, "kill", exit.Signal + 1},
		{"SIGQUIT", []syscall.Signal{syscall.SIGQUIT}, "kill", exit.Signal + 3},
		{"SIGCONT", []syscall.Signal{syscall.SIGCONT}, "resumed", exit.OK},
		{"Ctrl-A x", []syscall.Signal{leave}, "kill", exit.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm := fakeVM{make(chan string, 8)}
			h := &Handler{Machine: vm, Message: func(string) {}, Resumed: func() { vm.calls <- "resumed" }, Started: make(chan struct{}), Over: make(chan struct{}), Code: make(chan int, 1)}
			close(h.Started)
			signals, left := make(chan os.Signal), make(chan struct{})
			go h.Handle(signals, left)
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
			close(h.Over)
			if code := <-h.Code; code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
		})
	}
}

// A start under way is ended by the first signal: there is no button yet.
func TestHandlerWhileStarting(t *testing.T) {
	for s, want := range map[syscall.Signal]int{syscall.SIGINT: exit.Signal + 2, syscall.SIGTERM: exit.Signal + 15, syscall.SIGHUP: exit.Signal + 1, 0: exit.OK} {
		aborted := make(chan int, 8)
		h := &Handler{Abort: func(code int) { aborted <- code }, Started: make(chan struct{}), Over: make(chan struct{}), Code: make(chan int, 1)}
		signals, left := make(chan os.Signal), make(chan struct{})
		go h.Handle(signals, left)
		if s == 0 {
			close(left)
		} else {
			signals <- s
		}
		if code := <-aborted; code != want {
			t.Errorf("%v: aborted with %d, want %d", s, code, want)
		}
		close(h.Started)
		close(h.Over)
		if code := <-h.Code; code != want {
			t.Errorf("%v: code %d, want %d", s, code, want)
		}
	}
}
