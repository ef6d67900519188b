package mayfly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/reports"
)

// Process is a machine in a process of its own: Spawn makes it. Its methods are those of a
// VM, and so are their errors: as texts, with the types and values that packages mayfly and kernel
// name. The process is not believed. One that does not answer a call in time is killed, and the
// machine's Outcome is HostError.
type Process struct {
	conn     *child.Conn
	proc     *os.Process
	reports  *reports.Limiter
	names    map[string]bool // that reports have had; receive's
	most     int             // names at most
	hears    *os.File        // the program's standard error
	in, out  *os.File        // what the program has as the console
	far      []*os.File      // of these, those that are closed here when the program has them
	input    *input          // nil: nothing to copy
	output   *output         // nil: nothing to copy
	heard    chan struct{}   // closed when said is complete
	gone     chan struct{}   // closed when the process has ended, and nobody waits for it
	done     chan struct{}   // closed when outcome and err are set
	released chan struct{}
	closing  sync.Once

	mu      sync.Mutex
	plan    *Plan // nil: the machine is not made
	number  uint64
	calls   map[uint64]chan *child.Message // nil: the process has ended
	life    life
	forget  func() bool // Start's context
	ending  bool        // outcome and err are about to be set
	closed  bool
	killed  bool   // by who uses the machine: by Kill, Close or the end of Start's context
	detail  string // of a machine that was killed
	cause   error  // why the process was killed, where nobody asked for it
	outcome Outcome
	err     error
	said    []byte // the end of what the program wrote to its standard error
}

// life is how far a machine has come, as this process knows by itself.
type life uint8

const (
	lifeNew life = iota
	lifeStarting
	lifeStarted
)

const (
	// killTime is how long a process has to end its machine after Kill.
	killTime = 100 * time.Millisecond
	// closeTime is how long it has to close it, which removes its sockets, and to end; closeEndedTime
	// where the machine has ended by itself, and writes out what its console has.
	closeTime      = 500 * time.Millisecond
	closeEndedTime = 6 * time.Second
	// cancelTime is how long it has to answer a call that was given up, and changeTime one that
	// waits for a disk.
	cancelTime = 5 * time.Second
	changeTime = time.Minute
	// maxSaid is how much is kept of what the program says at its end, in bytes.
	maxSaid = 4 << 10
	// maxName is the length of a name of what there are reports of, in bytes, and otherNames how many
	// there are beside those of devices: "command line", "serial", "watchdog" and such.
	maxName, otherNames = 8 << 10, 8
)

// answerTime is how long a process has to answer a call that waits for nothing. Tests have less
// patience.
var answerTime = 10 * time.Second

// errGone is wrapped by errors of calls to a process that has ended.
var errGone = errors.New("mayfly: the machine's process has ended")

func newProcess(c Config) *Process {
	p := &Process{
		names: map[string]bool{}, most: len(c.Devices) + otherNames, calls: map[uint64]chan *child.Message{},
		heard: make(chan struct{}), gone: make(chan struct{}), done: make(chan struct{}), released: make(chan struct{}),
	}
	if c.Logger != nil {
		p.reports = reports.New(c.log)
	}
	return p
}

// hear keeps the end of what the program writes to its standard error.
func (p *Process) hear() {
	defer close(p.heard)
	defer p.hears.Close()
	b := make([]byte, 1024)
	for {
		n, err := p.hears.Read(b)
		p.mu.Lock()
		p.said = append(p.said, b[:n]...)
		p.said = slices.Clone(p.said[max(0, len(p.said)-maxSaid):])
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// receive serves the process's messages until it ends.
func (p *Process) receive() {
	for {
		m, err := p.conn.Receive()
		if err != nil {
			break
		}
		switch {
		case m.Number != 0:
			p.mu.Lock()
			answer := p.calls[m.Number]
			delete(p.calls, m.Number)
			p.mu.Unlock()
			if answer != nil {
				answer <- m
			}
		case m.Method == child.Ended:
			var e child.End
			if json.Unmarshal(m.Body, &e) == nil {
				p.end(outcomeOf(&e), e.Error.Decode())
			}
		case m.Method == child.Logged:
			var l child.Log
			if json.Unmarshal(m.Body, &l) == nil && l.Error != nil && p.mayReport(l.Device) {
				p.reports.For(l.Device)(l.Error.Decode())
			}
		}
	}
	p.bury()
}

// outcomeOf is what the process says, as far as it can be.
func outcomeOf(e *child.End) Outcome {
	o := Outcome{
		Reason: Reason(e.Reason), Detail: e.Detail[:min(len(e.Detail), maxName)], Restarts: max(e.Restarts, 0), Lost: min(e.Lost, 1<<62),
		LostCause: e.LostCause.Decode(), Processor: e.Processor[:min(len(e.Processor), 64)], Confinement: e.Confinement[:min(len(e.Confinement), 16)],
	}
	switch o.Reason {
	case PowerOff, Halted, Rebooted, Panicked, TripleFault, InternalError, FailedEntry, ImageChanged, Killed, HostError, Hung:
	default:
		o.Reason = HostError
	}
	return o
}

// mayReport bounds the names of what there are reports of, each of which has a quota.
func (p *Process) mayReport(name string) bool {
	if p.reports == nil || len(name) > maxName || !p.names[name] && len(p.names) == p.most {
		return false
	}
	p.names[name] = true
	return true
}

// bury ends the process, which has closed its socket, and all that waits for it.
func (p *Process) bury() {
	_ = p.proc.Kill() // one that lives on can only be up to something
	state, err := p.proc.Wait()
	p.conn.Close()
	_ = p.hears.SetReadDeadline(time.Now().Add(killTime)) // a program that it started may hold the other end
	<-p.heard
	p.mu.Lock()
	for _, answer := range p.calls {
		close(answer)
	}
	p.calls = nil
	why := p.cause
	if why == nil {
		why = deathOf(state, err, string(p.said))
	}
	o := Outcome{Reason: HostError, Detail: why.Error()}
	switch {
	case p.killed && p.closed && p.life == lifeNew:
		o, why = Outcome{}, ErrClosed
	case p.killed:
		o, why = Outcome{Reason: Killed}, nil
	}
	p.mu.Unlock()
	p.end(o, why)
	close(p.gone)
}

// deathOf says how the process ended.
func deathOf(state *os.ProcessState, err error, said string) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	why := state.String()
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGSYS {
		why = "it made a system call that its confinement forbids, which the host's kernel log names (type=1326)"
	}
	if said != "" {
		why += "; it wrote: " + said
	}
	return fmt.Errorf("%w: %s", errGone, why)
}

// end sets how the machine ended, once its output has arrived. The first counts.
func (p *Process) end(o Outcome, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return
	}
	p.ending = true
	limit := outputTime
	if o.Reason == Killed || p.killed {
		limit = killedOutputTime
	}
	if o.Reason == Killed && o.Detail == "" {
		o.Detail = p.detail
	}
	go func() {
		p.input.stop()
		lost, cause := p.output.finish(limit)
		p.mu.Lock()
		defer p.mu.Unlock()
		if o.Lost += lost; o.LostCause == nil {
			o.LostCause = cause
		}
		p.outcome, p.err = o, err
		if p.forget != nil {
			p.forget()
		}
		close(p.done)
	}()
}

// murder ends a process that does not do what it is asked.
func (p *Process) murder(cause error) {
	p.mu.Lock()
	if p.cause == nil && !p.killed {
		p.cause = cause
	}
	p.mu.Unlock()
	_ = p.proc.Kill()
	p.conn.Close() // a program that it started may hold the other end
}

// call is a request under way.
type call struct {
	p      *Process
	method string
	number uint64
	answer chan *child.Message
}

// post sends a request; the process has until the time to read it, zero: for ever.
func (p *Process) post(method string, body any, fds []int, until time.Time) (*call, error) {
	m := &child.Message{Method: method, FDs: fds}
	if err := m.Pack(body); err != nil {
		return nil, err
	}
	c := &call{p: p, method: method, answer: make(chan *child.Message, 1)}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if p.calls == nil {
		p.mu.Unlock()
		return nil, p.over()
	}
	p.number++
	c.number, m.Number = p.number, p.number
	p.calls[c.number] = c.answer
	p.mu.Unlock()
	err := p.conn.Send(m, until)
	if err == nil {
		return c, nil
	}
	p.mu.Lock()
	delete(p.calls, c.number)
	p.mu.Unlock()
	if errors.Is(err, child.ErrNotSent) && !errors.Is(err, syscall.EPIPE) {
		return nil, err
	}
	if errors.Is(err, syscall.EPIPE) {
		p.murder(nil) // it has ended, or pretends to
	} else {
		p.murder(fmt.Errorf("%w: it did not read a request: %w", errGone, err))
	}
	return nil, p.over()
}

// wait waits for the answer, which comes to result. When ctx ends first, the process is told so,
// and answers, or is killed.
func (c *call) wait(ctx context.Context, result any) error {
	ended := ctx.Done()
	for {
		select {
		case got, ok := <-c.answer:
			switch {
			case !ok:
				return c.p.over()
			case got.Error != nil:
				if err := got.Error.Decode(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
					return err
				}
				return ctx.Err()
			case result != nil:
				return json.Unmarshal(got.Body, result)
			}
			return nil
		case <-ended:
			ended = nil
			defer time.AfterFunc(cancelTime, c.late).Stop()
			m := &child.Message{Method: child.Cancel}
			_ = m.Pack(c.number)
			_ = c.p.conn.Send(m, time.Now().Add(cancelTime)) // where that fails the process is killed
		}
	}
}

// accepted waits for an answer that is no error, but not longer than ctx.
func (c *call) accepted(ctx context.Context) bool {
	select {
	case got, ok := <-c.answer:
		return ok && got.Error == nil
	case <-ctx.Done():
		return false
	}
}

func (c *call) late() {
	c.p.murder(fmt.Errorf("%w: it did not answer to %q in time", errGone, c.method))
}

// ask is a request that waits for nothing but the process.
func (p *Process) ask(method string, body any, fds []int, limit time.Duration, result any) error {
	c, err := p.post(method, body, fds, time.Now().Add(limit))
	if err != nil {
		return err
	}
	defer time.AfterFunc(limit, c.late).Stop()
	return c.wait(context.Background(), result)
}

// over is the error of a call to a process that has ended.
func (p *Process) over() error {
	p.mu.Lock()
	closed, made := p.closed, p.plan != nil
	p.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !made:
		<-p.done
		return p.err
	}
	<-p.gone
	return fmt.Errorf("%w (%w)", ErrNotRunning, errGone)
}
