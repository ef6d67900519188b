package main

import (
	"io"
	"os"
	"strings"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// console is this program's terminal, or what stands in its place, lent to a machine.
type console struct {
	term   *terminal.Terminal
	reader *terminal.Reader
	left   chan struct{} // closed when the user typed Ctrl-A x
	once   sync.Once
}

// openConsole makes the terminal raw. Close must follow whatever happens.
func openConsole() (*console, error) {
	term, err := terminal.Open(os.Stdin)
	if err != nil {
		return nil, err
	}
	c := &console{term: term, left: make(chan struct{})}
	c.reader, err = term.Reader(terminal.Events{
		Leave: func() { c.once.Do(func() { close(c.left) }) },
		Help:  func() { os.Stderr.WriteString(keysText) },
	})
	if err != nil {
		term.Restore()
		return nil, err
	}
	return c, nil
}

const keysText = "\r\n" +
	"Ctrl-A x       leave: the machine is killed\r\n" +
	"Ctrl-A Ctrl-A  send Ctrl-A\r\n" +
	"Ctrl-A h       these keys\r\n"

// In is the guest's input. The machine interrupts its Read when it is closed.
func (c *console) In() io.Reader { return c.reader }

// Say writes a line for the user while the guest runs: a raw terminal doesn't return the carriage by itself.
func (c *console) Say(text string) {
	end := "\n"
	if c.term.IsTerminal() {
		end = "\r\n"
		text = "\r" + strings.ReplaceAll(text, "\n", end)
	}
	os.Stderr.WriteString(text + end)
}

// Restore gives the terminal back as it was.
func (c *console) Restore() { c.term.Restore() }
