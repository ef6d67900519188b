package flags

import (
	"errors"
	"io"
	"math"
	"strconv"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
)

// ConsolePort is a port of the virtio console, and whether its host end is this program's own terminal.
type ConsolePort struct {
	vconsole.Port
	stdio bool
}

// consoleKeys are the host end of a port and its name in the guest. A port without a name is a terminal.
func consoleKeys(p *ConsolePort) *option.Group {
	return &option.Group{
		Keys: []option.Flag{
			{Name: "stdio", Help: "standard input and output, which the serial port then doesn't have: the default command line says console=hvc0", Value: option.Bool(&p.stdio)},
			{Name: "pty", Arg: "FILE", Help: "a terminal that is made; FILE becomes a link to it", Value: toMake(&p.PTY)},
			{Name: "socket", Arg: "FILE", Help: "a Unix socket that is made, for one client at a time", Value: socketToMake(&p.Socket)},
			{Name: "file", Arg: "FILE", Help: "what the guest writes is appended to this file; a FIFO must have a reader already", Value: toMake(&p.File)},
			{Name: "limit", Arg: "SIZE", Help: "the size up to which the file grows, or the most that standard output gets; what the guest writes beyond is lost, and reported", Value: option.Bytes(&p.Limit, 1, math.MaxInt64)},
			{Name: "name", Arg: "TEXT", Help: "a port of that name, /dev/virtio-ports/TEXT in the guest, in place of a terminal (hvc0 …)", Value: ascii(&p.Name, vconsole.MaxName)},
			{Name: "terminal", Help: "a terminal although it has a name", Value: option.Bool(&p.Console)},
		},
		Check: func() error {
			ways := 0
			for _, set := range []bool{p.stdio, p.PTY != "", p.Socket != "", p.File != ""} {
				if set {
					ways++
				}
			}
			if ways != 1 {
				return errors.New("a port has one end at the host: stdio, pty=FILE, socket=FILE or file=FILE")
			}
			if p.Limit != 0 && !p.stdio && p.File == "" {
				return errors.New("limit is for stdio and file=FILE: the reader of a socket or a pty limits what it reads itself")
			}
			c := vconsole.Config{Ports: []vconsole.Port{p.Port}}
			c.Ports[0].Console = p.Console || p.Name == ""
			if p.stdio {
				c.Ports[0].Out = io.Discard // stands for standard output
			}
			return reason(reason(c.Check()))
		},
	}
}

// Connect gives the configuration its devices and the serial port its ends; in and out are this program's terminal. Given
// to a port of the virtio console, the serial port hasn't it.
func (o *Run) Connect(in io.Reader, out io.Writer) {
	o.Config.Console.In, o.Config.Console.Out = in, out
	var ports []vconsole.Port
	for _, p := range o.Consoles {
		if p.stdio {
			p.In, p.Out = in, out
			o.Config.Console = mayfly.Console{}
		}
		p.Console = p.Console || p.Name == ""
		ports = append(ports, p.Port)
	}
	o.Config.Devices = o.deviceConfigs(ports)
}

// TerminalPort is the port that has this program's terminal; -1: none.
func (o *Run) TerminalPort() int {
	for i, p := range o.Consoles {
		if p.stdio {
			return i
		}
	}
	return -1
}

// terminalName is the guest's name of the device that is connected to this program's terminal.
func (o *Run) terminalName() string {
	n := 0 // terminals before
	for _, p := range o.Consoles {
		if p.stdio {
			return "hvc" + strconv.Itoa(n)
		}
		if p.Console || p.Name == "" {
			n++
		}
	}
	return "ttyS0"
}

// checkConsoles finds two ports with one terminal.
func (o *Run) checkConsoles() error {
	n := 0
	for _, p := range o.Consoles {
		if p.stdio {
			n++
		}
	}
	if n > 1 {
		return &option.UsageError{Command: "run", Msg: "--console stdio is given twice: only one port can have standard input and output"}
	}
	return nil
}
