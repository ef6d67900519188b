package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
)

// followSize tells the guest the size of this program's terminal, now and whenever it changes, until the channel is
// stopped.
func followSize(vm *mayfly.VM, port int) chan os.Signal {
	changed := make(chan os.Signal, 1)
	changed <- syscall.SIGWINCH // as it is now
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for range changed {
			if ws, err := unix.IoctlGetWinsize(unix.Stdin, unix.TIOCGWINSZ); err == nil {
				_ = vm.ResizeConsole(port, ws.Col, ws.Row) // the machine may have ended
			}
		}
	}()
	return changed
}
