// Command mayfly-syscalls logs what a mayfly under --confine=log does that its
// confinement would not allow. mayfly starts it, with a socket as its descriptor 3.
package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
)

const socket = 3

func main() {
	var st unix.Stat_t
	if err := unix.Fstat(socket, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		os.Stderr.WriteString("mayfly-syscalls: this program is for mayfly run --confine=log, which starts it\n")
		os.Exit(2)
	}
	unix.CloseOnExec(socket)
	err := monitor.ServeLog(socket, func(line string) { os.Stderr.WriteString("mayfly: " + line + "\n") })
	if err != nil {
		os.Stderr.WriteString("mayfly-syscalls: " + err.Error() + "\n")
		os.Exit(1)
	}
}
