package mayfly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/internal/reports"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Spawn is New in a process of its own, which is confined before the guest runs, as the
// command's is: a defect that the guest finds is not one of this process. It runs the program
// mayfly-machine, which is searched in the running program's folder and in PATH; that opens
// what the configuration names by paths, with this process's user and working directory.
//
// Against a machine of New each costs the start of a program, some 2 ms, and its memory, some
// 1.5 MiB; each call is a message there and one back, some 0.1 ms. It has no Timeline; devices are those of
// the packages under virtio, opened by their configurations; functions and the In and Out of
// console ports that are no *os.File can't be handed over, and are a *ConfigError. What the
// serial port reads and writes is handed over as it is where it is an *os.File, and goes
// through a pipe and a goroutine of this process else.
func Spawn(c Config) (*Process, error) {
	sent := false
	defer func() {
		if !sent {
			virtio.Discard(c.Devices)
		}
	}()
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	m, fds, err := c.handOver()
	if err != nil {
		return nil, err
	}
	p, err := startProcess()
	if err != nil {
		return nil, err
	}
	if c.Logger != nil {
		p.reports = reports.New(c.log)
	}
	p.most = len(c.Devices) + otherNames
	go p.receive()
	if err := p.make(c, m, fds); err != nil {
		p.Close()
		return nil, err
	}
	virtio.Discard(c.Devices) // the other process has what they hold
	sent = true
	return p, nil
}

// handOver describes the configuration, without the console, and returns the devices'
// descriptors.
func (c *Config) handOver() (*child.Machine, []int, error) {
	switch {
	case c.Timeline != nil:
		return nil, nil, &ConfigError{Field: "Timeline", Msg: "a machine in another process records none"}
	case c.Confinement != nil:
		return nil, nil, &ConfigError{Field: "Confinement", Msg: "a machine in another process has that of its program"}
	}
	m := &child.Machine{Log: c.Logger != nil}
	var fds []int
	for _, d := range c.Devices {
		h, ok := virtio.As[handover.Config](d)
		if !ok {
			return nil, nil, &ConfigError{Field: "Devices", Msg: fmt.Sprintf("%s: a %T cannot be handed over to another process", d.DeviceName(), d)}
		}
		r := handover.Record{}
		if err := h.Handover(&r); err != nil {
			return nil, nil, &ConfigError{Field: "Devices", Msg: d.DeviceName() + ": " + err.Error(), Err: virtio.Named(d.DeviceName(), err)}
		}
		_, r.Packed = virtio.As[Packed](d)
		m.Devices = append(m.Devices, r)
		fds = append(fds, r.FDs...)
	}
	plain := *c
	plain.Devices, plain.Logger, plain.Console.In, plain.Console.Out = nil, nil, nil, nil
	var err error
	if m.Config, err = json.Marshal(plain); err == nil {
		err = handover.Same(m.Config, plain)
	}
	if err != nil {
		return nil, nil, &ConfigError{Field: "Kernel, Initrd, Cmdline, SMBIOS or CacheDir", Msg: err.Error(), Err: err}
	}
	if len(fds)+2 > child.MaxFDs {
		return nil, nil, &ConfigError{Field: "Devices", Msg: fmt.Sprintf("%d descriptors: at most %d can be handed over", len(fds), child.MaxFDs-2)}
	}
	return m, fds, nil
}

// environment is what the program needs to find its companions and the cache of kernels.
func environment() []string {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// startProcess starts the program.
func startProcess() (*Process, error) {
	path := companion.Find(child.Program)
	if path == "" {
		return nil, errors.New("the program " + child.Program + ", which runs a machine in a process of its own, is neither in the directory of this program nor in PATH: install it there")
	}
	conn, far, err := child.Pair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	said, stderr, err := os.Pipe()
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer stderr.Close()
	proc, err := os.StartProcess(path, []string{child.Program}, &os.ProcAttr{Env: environment(), Files: []*os.File{nil, nil, stderr, far}})
	if err != nil {
		conn.Close()
		said.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	p := &Process{
		conn: conn, proc: proc, hears: said,
		calls: map[uint64]chan *child.Message{}, names: map[string]bool{}, done: make(chan struct{}), gone: make(chan struct{}), heard: make(chan struct{}),
	}
	go p.hear()
	return p, nil
}

// make has the program make the machine.
func (p *Process) make(c Config, m *child.Machine, devices []int) error {
	in, out, err := p.connectConsole(c.Console)
	if err != nil {
		return err
	}
	var fds []int
	for _, f := range []*os.File{in, out} {
		if f == nil {
			continue
		}
		fd, err := handover.FD(f)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	m.In, m.Out = in != nil, out != nil
	p.plan = new(Plan)
	err = p.call(context.Background(), child.New, m, append(fds, devices...), p.plan)
	p.mu.Lock()
	p.made = err == nil
	p.mu.Unlock()
	for _, f := range p.far { // the program has them
		f.Close()
	}
	p.far = nil
	return err
}

// connectConsole returns the files that the program reads and writes.
func (p *Process) connectConsole(c Console) (in, out *os.File, err error) {
	in, ok := c.In.(*os.File)
	if c.In != nil && !ok {
		var to *os.File
		if in, to, err = os.Pipe(); err != nil {
			return nil, nil, err
		}
		p.far = append(p.far, in)
		p.input = func() {
			_, _ = io.Copy(to, c.In) // ends with the machine, whose end of the pipe is closed then
			to.Close()
		}
		p.stopInput = func() {
			to.Close()
			if d, ok := c.In.(interface{ SetReadDeadline(time.Time) error }); ok {
				_ = d.SetReadDeadline(time.Unix(1, 0))
			}
		}
	}
	out, ok = c.Out.(*os.File)
	if c.Out != nil && !ok {
		var from *os.File
		if from, out, err = os.Pipe(); err != nil {
			return nil, nil, err
		}
		p.far = append(p.far, out)
		p.output = newOutput(from, c.Out)
	}
	return in, out, nil
}
