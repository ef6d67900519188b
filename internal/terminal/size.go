package terminal

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// FollowSize calls set with the size of the terminal that is standard input, in characters, now and whenever it changes,
// until stop is called.
func FollowSize(set func(columns, rows uint16)) (stop func()) {
	changed := make(chan os.Signal, 1)
	changed <- syscall.SIGWINCH // as it is now
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for range changed {
			if ws, err := unix.IoctlGetWinsize(unix.Stdin, unix.TIOCGWINSZ); err == nil {
				set(ws.Col, ws.Row)
			}
		}
	}()
	return func() { signal.Stop(changed) }
}
