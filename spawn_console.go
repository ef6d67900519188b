package mayfly

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// input copies from the console's In, which is no file, to a pipe that the machine's process reads.
type input struct {
	from io.Reader
	to   *os.File
	done chan struct{}
	once sync.Once
}

func (i *input) run() {
	i.done = make(chan struct{})
	go func() {
		defer close(i.done)
		_, _ = io.Copy(i.to, i.from) // what fails is told by the end of the machine, or of the input
		i.to.Close()
	}()
}

// stop ends the copying: a Read under way is interrupted where From can be, and From is its owner's
// again.
func (i *input) stop() {
	if i == nil {
		return
	}
	i.once.Do(func() {
		i.to.Close()
		if i.done == nil { // it never ran
			return
		}
		d, ok := i.from.(interface{ SetReadDeadline(time.Time) error })
		if ok && d.SetReadDeadline(time.Unix(1, 0)) == nil {
			<-i.done
			_ = d.SetReadDeadline(time.Time{})
		}
	})
}

// output copies what the machine writes to the console's Out, which is no file.
type output struct {
	from *os.File
	to   io.Writer
	left uint64 // of Console.Limit: the machine's process is not believed
	done chan struct{}

	mu    sync.Mutex
	lost  uint64
	cause error
}

var (
	errOutputNotTaken = errors.New("nobody took it in time")
	errOutputLimit    = errors.New("its limit is reached")
)

// outputTime is how long what was written before the machine ended by itself may take to be taken;
// killedOutputTime, before it was killed.
const (
	outputTime       = 5 * time.Second
	killedOutputTime = 20 * time.Millisecond
)

func newOutput(from *os.File, to io.Writer, limit uint64) *output {
	if limit == 0 {
		limit = math.MaxUint64
	}
	return &output{from: from, to: to, left: limit, done: make(chan struct{})}
}

func (o *output) run() {
	defer close(o.done)
	b := make([]byte, 32<<10)
	for {
		n, err := o.from.Read(b)
		if n > 0 && !o.write(b[:n]) || err != nil {
			return
		}
	}
}

// write passes on what the limit lets through. What comes after an error fails in the machine's
// process, which counts it.
func (o *output) write(b []byte) bool {
	n := int(min(uint64(len(b)), o.left))
	k, err := o.to.Write(b[:n])
	o.left -= uint64(n)
	if err == nil && n < len(b) {
		err = errOutputLimit
	}
	if err == nil {
		return true
	}
	o.mu.Lock()
	o.lost, o.cause = o.lost+uint64(len(b)-k), err
	o.mu.Unlock()
	o.from.Close()
	return false
}

// finish waits until all has been copied, but no longer than limit, and returns what was not.
func (o *output) finish(limit time.Duration) (lost uint64, err error) {
	if o == nil {
		return 0, nil
	}
	select {
	case <-o.done:
	case <-time.After(limit):
		waiting := 0
		if conn, err := o.from.SyscallConn(); err == nil {
			_ = conn.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
		}
		o.from.Close()
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.lost + uint64(max(waiting, 0)), errOutputNotTaken
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost, o.cause
}
