package terminal

// Prefix is the key that begins a command to the monitor: Ctrl-A.
const Prefix = 0x01

// Action is what a key sequence asks the monitor for.
type Action int

const (
	None  Action = iota
	Leave        // Ctrl-A x: end the machine
	Help         // Ctrl-A h
	Break        // Ctrl-A b: a break condition on the serial line
)

// HelpText says which keys there are. Its lines end as a raw terminal needs it.
const HelpText = "\r\n" +
	"Ctrl-A x       leave: ends the machine\r\n" +
	"Ctrl-A b       send a break (Linux: break, then a letter, is SysRq)\r\n" +
	"Ctrl-A Ctrl-A  send Ctrl-A\r\n" +
	"Ctrl-A h       this help\r\n"

// Escape finds commands among what a user types. The zero value is ready.
type Escape struct {
	prefixed bool // the last byte was Prefix, and isn't passed on yet
}

// Next takes input from src up to the first command. It returns dst with what
// the guest shall get appended, how many bytes of src it took, and the command;
// None when src ended first. A prefix before any other key is passed on with it,
// so that nothing typed is lost; dst grows by at most len(src)+1 bytes.
func (e *Escape) Next(dst, src []byte) (out []byte, n int, a Action) {
	for i, b := range src {
		if !e.prefixed {
			if b == Prefix {
				e.prefixed = true
			} else {
				dst = append(dst, b)
			}
			continue
		}
		e.prefixed = false
		switch b {
		case Prefix:
			dst = append(dst, Prefix)
		case 'x', 'X':
			return dst, i + 1, Leave
		case 'h', 'H', '?':
			return dst, i + 1, Help
		case 'b', 'B':
			return dst, i + 1, Break
		default:
			dst = append(dst, Prefix, b)
		}
	}
	return dst, len(src), None
}
