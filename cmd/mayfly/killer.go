package main

import (
	"os"
	"syscall"
)

// killer turns signals, and the keys that leave, into the end of a machine.
type killer struct {
	vm interface {
		PowerButton() error
		Kill() error
	}
	say     func(string)   // words for the user
	resumed func()         // the program goes on after a stop
	started chan struct{}  // closed when the machine runs
	abort   func(code int) // ends a start that is under way
	over    chan struct{}
	code    chan int // gets the exit code of a killed machine when over is closed
}

// listen works until over is closed. left is closed when the user leaves by key.
func (k *killer) listen(signals <-chan os.Signal, left <-chan struct{}) {
	code, pressed := exitOK, false
	defer func() { k.code <- code }()
	for {
		select {
		case <-k.over:
			return
		case <-left:
			left = nil
			k.kill(code)
		case s := <-signals:
			switch {
			case s == syscall.SIGCONT:
				k.resumed()
			case (s == syscall.SIGINT || s == syscall.SIGTERM) && !pressed && k.running():
				pressed = true
				k.say("pressing the guest's power button; the same again kills the machine")
				_ = k.vm.PowerButton()
			default:
				code = 128 + int(s.(syscall.Signal))
				k.kill(code)
			}
		}
	}
}

func (k *killer) running() bool {
	select {
	case <-k.started:
		return true
	default:
		return false
	}
}

// kill ends the machine, or its start: then nobody could press a button.
func (k *killer) kill(code int) {
	if k.running() {
		_ = k.vm.Kill() // fails only when the machine has ended already
	} else {
		k.abort(code)
	}
}
