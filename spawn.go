package mayfly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/handover"
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
	p, err := startProcess(c)
	if err != nil {
		return nil, err
	}
	if err := p.make(m, fds); err != nil {
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
		return nil, nil, &ConfigError{Field: c.notUTF8(), Msg: err.Error(), Err: err}
	}
	if len(fds)+2 > child.MaxFDs {
		return nil, nil, &ConfigError{Field: "Devices", Msg: fmt.Sprintf("%d descriptors: at most %d can be handed over", len(fds), child.MaxFDs-2)}
	}
	return m, fds, nil
}

// notUTF8 is the field with a string that JSON can't have.
func (c *Config) notUTF8() string {
	for field, s := range map[string]string{"Kernel": c.Kernel, "Cmdline": c.Cmdline, "KVM": c.KVM, "CacheDir": c.CacheDir, "Initrd": strings.Join(c.Initrd, "")} {
		if !utf8.ValidString(s) {
			return field
		}
	}
	return "SMBIOS"
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
func startProcess(c Config) (*Process, error) {
	path := companion.Find(child.Program)
	if path == "" {
		return nil, errors.New("the program " + child.Program + ", which runs a machine in a process of its own, is neither in the directory of this program nor in PATH: install it there")
	}
	p := newProcess(c)
	if err := p.start(path, c.Console); err != nil {
		p.abandon()
		return nil, err
	}
	go p.hear()
	go p.receive()
	if p.output != nil {
		go p.output.run()
	}
	return p, nil
}

// start opens what the program and this process share, and starts the program.
func (p *Process) start(path string, console Console) error {
	if err := p.connectConsole(console); err != nil {
		return err
	}
	conn, far, err := child.Pair()
	if err != nil {
		return err
	}
	defer far.Close()
	p.conn = conn
	said, stderr, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stderr.Close()
	p.hears = said
	if p.proc, err = os.StartProcess(path, []string{child.Program}, &os.ProcAttr{Env: environment(), Files: []*os.File{nil, nil, stderr, far}}); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// abandon gives back what was opened for a program that was not started.
func (p *Process) abandon() {
	p.dropFar()
	if p.conn != nil {
		p.conn.Close()
	}
	for _, f := range []*os.File{p.hears, p.fromConsole()} {
		if f != nil {
			f.Close()
		}
	}
	p.input.stop()
}

// fromConsole is this process's end of the output's pipe.
func (p *Process) fromConsole() *os.File {
	if p.output == nil {
		return nil
	}
	return p.output.from
}

// dropFar closes the program's ends of the console's pipes.
func (p *Process) dropFar() {
	for _, f := range p.far {
		f.Close()
	}
	p.far = nil
}

// make has the program make the machine.
func (p *Process) make(m *child.Machine, devices []int) error {
	var fds []int
	for _, f := range []*os.File{p.in, p.out} {
		if f == nil {
			continue
		}
		fd, err := handover.FD(f)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	m.In, m.Out = p.in != nil, p.out != nil
	c, err := p.post(child.New, m, append(fds, devices...), time.Time{})
	p.dropFar() // the program has them
	if err != nil {
		return err
	}
	plan := new(Plan)
	if err := c.wait(context.Background(), plan); err != nil {
		return err
	}
	if len(plan.RAM) == 0 {
		return errors.New("the program " + child.Program + " has answered without a plan: it is not of this version")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	return nil
}

// connectConsole finds the files that the program reads and writes.
func (p *Process) connectConsole(c Console) error {
	in, ok := c.In.(*os.File)
	if c.In != nil && !ok {
		from, to, err := os.Pipe()
		if err != nil {
			return err
		}
		in, p.input = from, &input{from: c.In, to: to}
		p.far = append(p.far, from)
	}
	p.in = in
	out, ok := c.Out.(*os.File)
	if c.Out != nil && !ok {
		from, to, err := os.Pipe()
		if err != nil {
			return err
		}
		out, p.output = to, newOutput(from, c.Out, c.Limit)
		p.far = append(p.far, to)
	}
	p.out = out
	return nil
}
