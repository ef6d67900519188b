package main

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/internal/safetext"
	"github.com/mayfly-vm/mayfly/internal/terminal"
)

// console is this program's terminal, or what stands in its place, lent to a machine as its input. Until open is called the
// terminal is the user's: opening a kernel can take a while, and Ctrl-C must end that.
type console struct {
	term   *terminal.Terminal
	reader *terminal.Reader
	left   chan struct{} // closed when the user typed Ctrl-A x
	sysrq  func()        // the user typed Ctrl-A b; set before the machine reads
	once   sync.Once
}

func newConsole() *console { return &console{left: make(chan struct{})} }

// open makes the terminal raw. Restore must follow whatever happens.
func (c *console) open() (err error) {
	if c.term, err = terminal.Open(os.Stdin); err != nil {
		return err
	}
	c.reader, err = c.term.Reader(terminal.Events{
		Leave: func() { c.once.Do(func() { close(c.left) }) },
		Help:  func() { os.Stderr.WriteString(terminal.HelpText) },
		Break: func() { c.sysrq() },
	})
	if err != nil {
		c.term.Restore()
	}
	return err
}

// Read implements io.Reader. The machine reads only when it runs, which is after open.
func (c *console) Read(p []byte) (int, error) {
	defer c.term.RestoreOnPanic()
	return c.reader.Read(p)
}

// SetReadDeadline lets the machine interrupt a Read when it is closed.
func (c *console) SetReadDeadline(t time.Time) error { return c.reader.SetReadDeadline(t) }

// Say writes a message for the user while the guest runs: a raw terminal doesn't return the carriage by itself.
func (c *console) Say(text string) {
	text = safetext.Message(text)
	end := "\n"
	if c.term != nil && c.term.IsTerminal() {
		end = "\r\n"
		text = "\r" + strings.ReplaceAll(text, "\n", end)
	}
	os.Stderr.WriteString(text + end)
}

// Restore gives the terminal back as it was: what is typed from now on is for the shell.
func (c *console) Restore() {
	if c.reader != nil {
		_ = c.reader.Close()
	}
	c.term.Restore()
}
