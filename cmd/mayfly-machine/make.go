package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/confine/monitor"
	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// newMachine makes the machine of a request, whose descriptors are the machine's then.
func (s *server) newMachine(m *child.Message) (*mayfly.VM, error) {
	files := &descriptors{m.FDs}
	defer files.close()
	var r child.Machine
	var c mayfly.Config
	if err := json.Unmarshal(m.Body, &r); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return nil, err
	}
	for _, to := range []struct {
		has  bool
		name string
		set  func(*os.File)
	}{
		{r.In, "input", func(f *os.File) { c.Console.In = f }},
		{r.Out, "output", func(f *os.File) { c.Console.Out, s.out = f, f }},
	} {
		if fd := files.take(1); to.has && len(fd) == 1 {
			to.set(os.NewFile(uintptr(fd[0]), to.name))
		} else {
			files.list = append(fd, files.list...)
		}
	}
	for i := range r.Devices {
		d := &r.Devices[i]
		d.FDs = files.take(d.Files)
		device, err := received(d)
		if err != nil {
			virtio.Discard(c.Devices)
			return nil, err
		}
		if d.Packed {
			device = mayfly.Packed{DeviceConfig: device}
		}
		c.Devices = append(c.Devices, device)
	}
	if r.Log {
		c.Logger = slog.New(s.log)
	}
	confinement, err := monitor.New(monitor.On, func(text string) { s.log.send(child.Host, errors.New(text)) })
	if err != nil {
		virtio.Discard(c.Devices)
		return nil, err
	}
	c.Confinement = confinement
	s.cpus, s.devices = max(c.CPUs, mayfly.DefaultCPUs), len(c.Devices)
	return mayfly.New(c)
}

// received is a device's configuration.
func received(r *handover.Record) (virtio.DeviceConfig, error) {
	switch r.Kind {
	case "blk":
		return blk.Received(r)
	case "net":
		return vnet.Received(r)
	case "vsock":
		return vsock.Received(r)
	case "console":
		return console.Received(r)
	case "rng":
		return rng.Received(r)
	}
	return nil, fmt.Errorf("%q is no kind of device", r.Kind)
}

// descriptors are those that came with a message and have no owner yet.
type descriptors struct{ list []int }

// take takes the first n, or those that there are.
func (d *descriptors) take(n int) []int {
	n = min(max(n, 0), len(d.list))
	taken := d.list[:n:n]
	d.list = d.list[n:]
	return taken
}

func (d *descriptors) close() {
	for _, fd := range d.list {
		unix.Close(fd)
	}
}

// logger sends what the machine reports, from a goroutine of its own: who reports must not
// wait for the program. It is the machine's slog.Handler.
type logger struct {
	conn *child.Conn
	todo chan child.Log
}

// waiting is how many reports may wait; more are lost.
const waiting = 64

func newLogger(c *child.Conn) *logger {
	l := &logger{c, make(chan child.Log, waiting)}
	go func() {
		for r := range l.todo {
			_ = send(l.conn, &child.Message{Method: child.Logged}, r) // fails when the program has gone, which ends this one
		}
	}()
	return l
}

func (l *logger) send(name string, err error) {
	select {
	case l.todo <- child.Log{Device: name, Error: child.Encode(err)}:
	default:
	}
}

// Enabled, Handle, WithAttrs and WithGroup implement slog.Handler for records of package mayfly.
func (l *logger) Enabled(context.Context, slog.Level) bool { return true }

func (l *logger) Handle(_ context.Context, r slog.Record) error {
	name, err := "", errors.New(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(error); ok {
			err = e
		} else if a.Key == "device" {
			name = a.Value.String()
		}
		return true
	})
	l.send(name, err)
	return nil
}

func (l *logger) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logger) WithGroup(string) slog.Handler { return l }
