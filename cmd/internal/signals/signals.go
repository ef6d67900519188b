// Package signals ends machines on signals, and on the keys that leave.
package signals

import (
	"os"
	"syscall"

	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
)

// Machine is what signals end.
type Machine interface {
	PowerButton() error
	Kill() error
}

// Handler turns signals, and the keys that leave, into the end of a machine: the first SIGINT or SIGTERM presses the power
// button, a second one or any other signal kills the machine.
type Handler struct {
	Machine Machine
	Message func(string)   // shows the user a message
	Resumed func()         // is called when the program goes on after a stop
	Started chan struct{}  // closed when the machine runs
	Abort   func(code int) // ends a start that is under way
	Over    chan struct{}  // closed when the machine has ended
	Code    chan int       // receives the exit code of a killed machine, 0 of another, once Over is closed; with room for it
}

// Handle works until Over is closed. left is closed when the user leaves by key.
func (h *Handler) Handle(signals <-chan os.Signal, left <-chan struct{}) {
	code, pressed := exit.OK, false
	defer func() { h.Code <- code }()
	for {
		select {
		case <-h.Over:
			return
		case <-left:
			left = nil
			h.kill(code)
		case s := <-signals:
			switch {
			case s == syscall.SIGCONT:
				h.Resumed()
			case (s == syscall.SIGINT || s == syscall.SIGTERM) && !pressed && h.Running():
				pressed = true
				h.Message("pressing the guest's power button; the same again kills the machine")
				_ = h.Machine.PowerButton()
			default:
				code = exit.Signal + int(s.(syscall.Signal))
				h.kill(code)
			}
		}
	}
}

// Running reports whether Started is closed.
func (h *Handler) Running() bool {
	select {
	case <-h.Started:
		return true
	default:
		return false
	}
}

// kill ends the machine, or its start: then there is no power button yet.
func (h *Handler) kill(code int) {
	if h.Running() {
		_ = h.Machine.Kill() // fails only when the machine has ended already
	} else {
		h.Abort(code)
	}
}
