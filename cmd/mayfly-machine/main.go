// Without these Go keeps two files of the container's CPU quota open.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command mayfly-machine runs one machine for a program that calls mayfly.Spawn, confined. It
// gets a socket as its descriptor 3, on which it serves package child's requests; it ends when
// the program closes that.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

func main() {
	if err := run(); err != nil {
		os.Stderr.WriteString(child.Program + ": " + safetext.Line(err.Error()) + "\n")
		os.Exit(1)
	}
}

func run() error {
	if err := process.Harden(); err != nil {
		return err
	}
	// A terminal's signals are the program's, which is in the same group of processes.
	signal.Ignore(syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGTSTP, syscall.SIGPIPE)
	conn, err := child.NewConn(child.SocketFD)
	if err != nil {
		return err
	}
	return serve(conn)
}
