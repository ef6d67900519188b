// Without these Go keeps two files of the container's CPU quota open.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command mayfly-broker connects to Unix sockets for one machine's process, which may not
// make any connection itself, and hands it the descriptors. mayfly starts it, with a
// socket as its descriptor 3 and the sockets to connect to as arguments.
package main

import (
	"os"

	"github.com/mayfly-vm/mayfly/internal/broker"
	"github.com/mayfly-vm/mayfly/internal/safetext"
)

func main() {
	if err := broker.Main(os.Args[1:]); err != nil {
		os.Stderr.WriteString(broker.Program + ": " + safetext.Line(err.Error()) + "\n")
		os.Exit(1)
	}
}
