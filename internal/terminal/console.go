package terminal

import (
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly/internal/safetext"
)

// Console is this program's standard input, a terminal or what was given in its place, as the input of a machine. Until Open
// is called the terminal is the user's: opening a kernel can take a while, and Ctrl-C must end that.
type Console struct {
	term   *Terminal
	reader *Reader
	left   chan struct{}
	once   sync.Once
}

// NewConsole returns a console that isn't open.
func NewConsole() *Console { return &Console{left: make(chan struct{})} }

// Open makes the terminal raw. Ctrl-A b calls sysrq. Restore must follow whatever happens.
func (c *Console) Open(sysrq func()) (err error) {
	if c.term, err = Open(os.Stdin); err != nil {
		return err
	}
	c.reader, err = c.term.Reader(Events{
		Leave: func() { c.once.Do(func() { close(c.left) }) },
		Help:  func() { os.Stderr.WriteString(HelpText) },
		Break: sysrq,
	})
	if err != nil {
		c.term.Restore()
	}
	return err
}

// Left is closed when the user types Ctrl-A x.
func (c *Console) Left() <-chan struct{} { return c.left }

// Terminal is the terminal, once Open succeeded.
func (c *Console) Terminal() *Terminal { return c.term }

// Read implements io.Reader. The machine reads only when it runs, which is after Open.
func (c *Console) Read(p []byte) (int, error) {
	defer c.term.RestoreOnPanic()
	return c.reader.Read(p)
}

// SetReadDeadline lets the machine interrupt a Read when it is closed.
func (c *Console) SetReadDeadline(t time.Time) error { return c.reader.SetReadDeadline(t) }

// Message writes a message for the user to standard error while the guest runs: a raw terminal doesn't return the carriage
// by itself.
func (c *Console) Message(text string) {
	text = safetext.Message(text)
	end := "\n"
	if c.term != nil && c.term.IsTerminal() {
		end = "\r\n"
		text = "\r" + strings.ReplaceAll(text, "\n", end)
	}
	os.Stderr.WriteString(text + end)
}

// Restore gives the terminal back as it was: what is typed from now on is for the shell.
func (c *Console) Restore() {
	if c.reader != nil {
		_ = c.reader.Close()
	}
	c.term.Restore()
}
