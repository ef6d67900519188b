// Without these Go keeps two files of the container's CPU quota open.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command mayfly-usernet is the network of one machine, in user space: DHCP, DNS,
// access to other networks and port forwards, without any privilege. mayfly starts it and hands
// it one end of a socket (-fd); with -listen it waits at a Unix socket, for any
// monitor that uses QEMU's stream protocol. It writes the line "ready" when the
// network is up, and ends when its machine does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/internal/unixsocket"
	"github.com/mayfly-vm/mayfly/internal/usernet"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "mayfly-usernet:", safetext.Line(err.Error()))
		}
		os.Exit(1)
	}
}

type forwards []vnet.Forward

func (f *forwards) String() string { return "" }

func (f *forwards) Set(s string) error {
	one, err := vnet.ParseForward(s)
	if err == nil {
		*f = append(*f, one)
	}
	return err
}

type networks []string

func (n *networks) String() string { return "" }

func (n *networks) Set(s string) error {
	_, err := vnet.ParseNetwork(s)
	if err == nil {
		*n = append(*n, s)
	}
	return err
}

func run(args []string) error {
	var c usernet.Config
	fs := flag.NewFlagSet("mayfly-usernet", flag.ContinueOnError)
	fd := fs.Int("fd", -1, "the `descriptor` of a stream socket to the machine")
	listen := fs.String("listen", "", "wait for the machine at a Unix socket of this `path`")
	fs.IntVar(&c.MTU, "mtu", usernet.DefaultMTU, "the network's MTU in `bytes`")
	fs.StringVar(&c.MAC, "mac", "", "the machine's Ethernet `address`: it gets "+usernet.Guest)
	fs.Var((*forwards)(&c.Forwards), "forward", "`[udp:][address:]port:port`: a port of the host that is forwarded to one of the machine (repeat)")
	fs.BoolVar(&c.Isolated, "isolated", false, "no way out")
	fs.BoolVar(&c.Host, "host", false, "the machine reaches the host: its 127.0.0.1 as "+usernet.HostName+", and its other addresses")
	fs.Var((*networks)(&c.Allow), "allow", "the machine reaches this `network` (CIDR) and others that are given so, and nothing else (repeat)")
	fs.Var((*networks)(&c.Deny), "deny", "the machine does not reach this `network` (CIDR), also where -allow has it (repeat)")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unknown argument %s", fs.Arg(0))
	case (*fd < 0) == (*listen == ""):
		return errors.New("give one of -fd and -listen")
	}
	if err := confine.RestartWithCgo(); err != nil {
		return err
	}
	if err := confine.CloseInherited(*fd); err != nil {
		return err
	}
	debug.SetMemoryLimit(usernet.MemoryLimit)
	n, err := usernet.New(c)
	if err != nil {
		return err
	}
	defer n.Close()
	machine, err := open(*fd, *listen)
	if err != nil {
		return err
	}
	// Not before the forwards are bound: low ports take a capability.
	r := rights(len(c.Forwards), *listen)
	err = confine.Companion(r)
	for _, dir := range r.Files.Remove {
		unix.Close(dir)
	}
	if err != nil {
		return err
	}
	os.Stdout.WriteString("ready\n") // what started the program waits for that
	conn, err := machine()
	if err != nil {
		return err
	}
	return n.Serve(context.Background(), conn)
}

// rights are the network and the host's resolv.conf, which changes while the program runs:
// by another file of that name, which only a rule for its directory allows to be read. In
// root's hands a rule for /etc would be one for the host's secrets.
func rights(forwards int, listen string) confine.Rights {
	read := []string{usernet.ResolvConf}
	if real, err := filepath.EvalSymlinks(usernet.ResolvConf); err == nil {
		if dir := filepath.Dir(real); dir != filepath.Dir(usernet.ResolvConf) || os.Geteuid() != 0 {
			read = append(read, dir)
		}
	}
	var remove []int
	if listen != "" { // its socket is removed
		if dir, err := unix.Open(filepath.Dir(listen), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			remove = []int{dir}
		}
	}
	return confine.Rights{
		Limits: confine.Limits{OpenFiles: uint64(usernet.Descriptors(forwards))},
		Files:  landlock.Rules{Read: read, Remove: remove, Network: true, Scope: true},
		Calls:  confine.Network,
	}
}

// open makes the way to the machine; what it returns waits for the machine.
func open(fd int, path string) (func() (net.Conn, error), error) {
	if path == "" {
		f := os.NewFile(uintptr(fd), "machine")
		if f == nil {
			return nil, fmt.Errorf("-fd: %d is no descriptor", fd)
		}
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			return nil, fmt.Errorf("-fd: descriptor %d is no socket: %w", fd, err)
		}
		return func() (net.Conn, error) { return conn, nil }, nil
	}
	if err := unixsocket.CheckPath(path, 0); err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		if strings.Contains(err.Error(), "address already in use") {
			return nil, fmt.Errorf("-listen: %s exists; another mayfly-usernet may run there: choose another path, or remove it", path)
		}
		return nil, fmt.Errorf("-listen: %w", err)
	}
	return func() (net.Conn, error) {
		defer l.Close() // one machine
		return l.Accept()
	}, nil
}
