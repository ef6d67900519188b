package mayfly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/internal/reports"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Process is a machine in a process of its own: Spawn makes it. Its methods are those of a
// VM, and so are their errors, which come as texts with the types and values that package
// mayfly names. The process is not believed: one that does not answer is killed.
type Process struct {
	conn    *child.Conn
	proc    *os.Process
	reports *reports.Limiter
	names   map[string]bool // that reports have had; receive's
	most    int             // names at most
	plan    *Plan

	far       []*os.File // the program's ends of the console's pipes, until it has them
	input     func()     // copies the console's input; nil: nothing to copy
	stopInput func()
	output    *output // nil: nothing to copy

	done  chan struct{} // closed when outcome and err are set
	gone  chan struct{} // closed when nothing of the process is left
	hears *os.File      // the program's standard error
	heard chan struct{} // closed when said is complete

	mu      sync.Mutex
	number  uint64
	calls   map[uint64]chan *child.Message // nil: the process has ended
	made    bool                           // the machine is
	started bool
	forget  func() bool // the context of Start; nil: there is none
	killed  bool        // by this process
	closed  bool
	ending  bool // outcome and err are about to be set
	outcome Outcome
	err     error
	said    []byte // the end of what the program wrote to its standard error
}

const (
	// killTime is how long a process has to end its machine after Kill.
	killTime = 100 * time.Millisecond
	// closeTime is how long it has to close it, which removes its sockets, and to end.
	closeTime = 500 * time.Millisecond
	// cancelTime is how long it has to answer a call that was given up.
	cancelTime = time.Second
	// maxName is the length of a name of what there are reports of, in bytes, and otherNames how many
	// there are beside those of devices: "command line", "serial", "watchdog" and such.
	maxName, otherNames = 8 << 10, 8
	// maxSaid is how much is kept of what the program says at its end, in bytes.
	maxSaid = 4 << 10
)

// errGone is wrapped by errors of calls to a process that has ended.
var errGone = errors.New("mayfly: the machine's process has ended")

// hear keeps the end of what the program writes to its standard error.
func (p *Process) hear() {
	defer close(p.heard)
	defer p.hears.Close()
	b := make([]byte, 1024)
	for {
		n, err := p.hears.Read(b)
		p.mu.Lock()
		p.said = append(p.said, b[:n]...)
		p.said = p.said[max(0, len(p.said)-maxSaid):]
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
				p.end(Outcome{Reason: Reason(e.Reason), Detail: e.Detail, Restarts: e.Restarts, Lost: e.Lost, LostCause: e.LostCause.Decode(), Confinement: e.Confinement}, e.Error.Decode())
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
	killed := p.killed
	why := deathOf(state, err, string(p.said))
	p.mu.Unlock()
	if killed {
		p.end(Outcome{Reason: Killed}, nil)
	} else {
		p.end(Outcome{Reason: HostError, Detail: why.Error()}, why)
	}
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
	go func() {
		lost, cause := p.output.finish()
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

// call is a request and its answer, which comes to result. When ctx ends first, the process is
// told so, and answers.
func (p *Process) call(ctx context.Context, method string, body any, fds []int, result any) error {
	m := &child.Message{Method: method, FDs: fds}
	if err := m.Pack(body); err != nil {
		return err
	}
	answer := make(chan *child.Message, 1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	if p.calls == nil {
		p.mu.Unlock()
		return p.over()
	}
	p.number++
	m.Number = p.number
	p.calls[m.Number] = answer
	p.mu.Unlock()
	if err := p.conn.Send(m, time.Time{}); err != nil {
		<-p.gone // the cause: what is written to a socket that nobody closes does not fail
		return p.over()
	}
	ended := ctx.Done()
	for {
		select {
		case got, ok := <-answer:
			switch {
			case !ok:
				return p.over()
			case got.Error != nil:
				return got.Error.Decode()
			case result != nil:
				return json.Unmarshal(got.Body, result)
			}
			return nil
		case <-ended:
			ended = nil
			defer time.AfterFunc(cancelTime, p.murder).Stop()
			c := &child.Message{Method: child.Cancel}
			_ = c.Pack(m.Number)
			_ = p.conn.Send(c, time.Now().Add(cancelTime)) // where that fails the process is killed
		}
	}
}

// murder ends a process that does not do what it is asked.
func (p *Process) murder() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.proc.Kill()
	p.conn.Close() // a program that it started may hold the other end
}

// over is the error of a call to a process that has ended.
func (p *Process) over() error {
	p.mu.Lock()
	closed, made := p.closed, p.made
	p.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !made:
		<-p.done
		return p.err
	}
	return fmt.Errorf("%w (%w)", ErrNotRunning, errGone)
}

// Plan is that of VM.
func (p *Process) Plan() *Plan { return p.plan }

// Start is VM.Start.
func (p *Process) Start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() {
		_ = time.AfterFunc(killTime, p.killUnlessDone)
		_ = p.Kill()
	})
	if err := p.call(ctx, child.Start, nil, nil, nil); err != nil {
		forget()
		return err
	}
	p.mu.Lock()
	p.started, p.forget = true, forget
	ended := p.ending
	p.mu.Unlock()
	if ended {
		forget()
	}
	if p.input != nil {
		go p.input()
	}
	return nil
}

func (p *Process) killUnlessDone() {
	select {
	case <-p.done:
	default:
		p.murder()
	}
}

// Wait is VM.Wait. A process that has ended by itself is a HostError, whose error says how.
func (p *Process) Wait(ctx context.Context) (Outcome, error) {
	select {
	case <-p.done:
	default:
		select {
		case <-p.done:
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome, p.err
}

// Shutdown is VM.Shutdown.
func (p *Process) Shutdown(ctx context.Context) (Outcome, error) { return shutdown(ctx, p) }

// State is VM.State.
func (p *Process) State() State {
	var s State
	err := p.call(context.Background(), child.State, nil, nil, &s)
	switch {
	case errors.Is(err, ErrClosed):
		return StateClosed
	case err != nil:
		return StateEnded
	}
	return s
}

// Stats is VM.Stats, where the DeviceStats have a json.RawMessage. After the process's end it
// has no counters.
func (p *Process) Stats() Stats {
	var s struct {
		Stats
		Devices []struct {
			DeviceStats
			Stats json.RawMessage `json:"stats"`
		} `json:"devices"`
	}
	if err := p.call(context.Background(), child.Stats, nil, nil, &s); err != nil {
		return Stats{State: p.State(), Exits: map[string]uint64{}, Devices: []DeviceStats{}, Confinement: []string{}}
	}
	all := s.Stats
	all.Devices = []DeviceStats{}
	for _, d := range s.Devices {
		all.Devices = append(all.Devices, DeviceStats{Name: d.Name, Type: d.Type, Stats: d.Stats})
	}
	return all
}

// Pause is VM.Pause.
func (p *Process) Pause(ctx context.Context) error { return p.call(ctx, child.Pause, nil, nil, nil) }

// Resume is VM.Resume.
func (p *Process) Resume() error { return p.call(context.Background(), child.Resume, nil, nil, nil) }

// PowerButton is VM.PowerButton.
func (p *Process) PowerButton() error {
	return p.call(context.Background(), child.PowerButton, nil, nil, nil)
}

// Break is VM.Break.
func (p *Process) Break() error { return p.call(context.Background(), child.Break, nil, nil, nil) }

// Kill is VM.Kill. A process that does not end its machine within 100 ms is killed.
func (p *Process) Kill() error {
	timer := time.AfterFunc(killTime, p.killUnlessDone)
	err := p.call(context.Background(), child.Kill, nil, nil, nil)
	if err != nil {
		timer.Stop()
	}
	return err
}

// Close is VM.Close: after it nothing of the process is left, unless the host's kernel does not
// let go of it.
func (p *Process) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed, p.killed = true, true
	p.mu.Unlock()
	if !first {
		return nil
	}
	if p.stopInput != nil {
		p.stopInput()
	}
	p.conn.Finish() // the process closes its machine, and ends
	for _, f := range p.far {
		f.Close()
	}
	p.far = nil
	defer time.AfterFunc(closeTime, p.murder).Stop()
	select {
	case <-p.gone:
	case <-time.After(closeTime + killTime):
	}
	p.output.close()
	return nil
}

// Released is VM.Released.
func (p *Process) Released() <-chan struct{} { return p.gone }

// SetDiskLimits is VM.SetDiskLimits.
func (p *Process) SetDiskLimits(device string, limits ratelimit.Config) error {
	return p.call(context.Background(), child.SetDiskLimits, child.Device{Device: device, Limits: &limits}, nil, nil)
}

// ChangeDisk is VM.ChangeDisk. This process opens the medium, a raw image, and hands it over.
func (p *Process) ChangeDisk(device string, medium DeviceConfig) error {
	m, ok := virtio.As[handover.Medium](medium)
	if !ok {
		virtio.Discard([]DeviceConfig{medium})
		return &DeviceError{Device: device, Err: fmt.Errorf("cannot be replaced by a %T: %w", medium, errors.ErrUnsupported)}
	}
	if err := p.hasMedium(device); err != nil {
		virtio.Discard([]DeviceConfig{medium})
		return err
	}
	r := new(handover.Record)
	release, err := m.HandoverMedium(r)
	if err != nil {
		return err
	}
	defer release()
	return p.call(context.Background(), child.ChangeDisk, child.Device{Device: device, Medium: r}, r.FDs, nil)
}

// hasMedium is an error where no disk has that name: nothing is opened for it then.
func (p *Process) hasMedium(device string) error {
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	i := slices.IndexFunc(p.plan.Devices, func(d PlannedDevice) bool { return d.Name == device })
	switch {
	case closed:
		return ErrClosed
	case i < 0:
		return fmt.Errorf("%w: %q", ErrNoDevice, device)
	case p.plan.Devices[i].Type != virtio.TypeBlock:
		return &DeviceError{Device: device, Err: errors.ErrUnsupported}
	}
	return nil
}

// RefreshDisk is VM.RefreshDisk.
func (p *Process) RefreshDisk(device string) error {
	return p.call(context.Background(), child.RefreshDisk, child.Device{Device: device}, nil, nil)
}

// SetLink is VM.SetLink.
func (p *Process) SetLink(device string, up bool) error {
	return p.call(context.Background(), child.SetLink, child.Device{Device: device, Up: up}, nil, nil)
}

// ResizeConsole is VM.ResizeConsole.
func (p *Process) ResizeConsole(device string, port int, cols, rows uint16) error {
	return p.call(context.Background(), child.ResizeConsole, child.Device{Device: device, Port: port, Cols: cols, Rows: rows}, nil, nil)
}

// output copies what the machine writes to who takes it.
type output struct {
	from *os.File
	done chan struct{}
	lost uint64
	err  error
}

// outputTime is how long who takes the output may take nothing before the rest is lost.
const outputTime = 5 * time.Second

func newOutput(from *os.File, to io.Writer) *output {
	o := &output{from: from, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if n > 0 {
				k, err := to.Write(b[:n])
				if err != nil { // what comes after fails in the machine's process, which counts it
					o.lost, o.err = uint64(n-k), err
					from.Close()
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return o
}

// finish waits until all has been copied, and returns what was not.
func (o *output) finish() (lost uint64, err error) {
	if o == nil {
		return 0, nil
	}
	select {
	case <-o.done:
		return o.lost, o.err
	case <-time.After(outputTime):
		return 0, errors.New("the console's output was not taken")
	}
}

func (o *output) close() {
	if o != nil {
		o.from.Close()
	}
}
