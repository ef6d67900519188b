package console

import (
	"fmt"
	"io"
	"os"

	"github.com/mayfly-vm/mayfly/internal/handover"
)

// handed is a Config on its way to another process.
type handed struct {
	Config
	Ports []handedPort
}

// handedPort is a Port, and which of its files came with it: in this order.
type handedPort struct {
	Port
	HasIn, HasOut, HasListener bool
}

// Handover is for mayfly.Spawn. An In or Out must be a file.
func (c Config) Handover(r *handover.Record) error {
	if c.Report != nil {
		return fmt.Errorf("report: a function %w; the machine's Logger is told instead", handover.ErrStays)
	}
	var h handed
	var fds []int
	for i, p := range c.Ports {
		to := handedPort{Port: p, HasIn: p.In != nil, HasOut: p.Out != nil, HasListener: p.Listener != nil}
		to.In, to.Out, to.Listener = nil, nil, nil
		if p.Seen != nil {
			return fmt.Errorf("port %d: seen: a function %w", i, handover.ErrStays)
		}
		in, inIs := p.In.(*os.File)
		out, outIs := p.Out.(*os.File)
		if to.HasIn && !inIs || to.HasOut && !outIs {
			return fmt.Errorf("port %d: in, out: what is no *os.File %w; use os.Pipe", i, handover.ErrStays)
		}
		for _, f := range []*os.File{in, out, p.Listener} {
			if f == nil {
				continue
			}
			fd, err := handover.FD(f)
			if err != nil {
				return fmt.Errorf("port %d: %w", i, err)
			}
			fds = append(fds, fd)
		}
		h.Ports = append(h.Ports, to)
	}
	return r.Set("console", h, fds...)
}

// Received is the configuration that was handed over.
func Received(r *handover.Record) (Config, error) {
	var h handed
	if err := r.Get(&h); err != nil {
		return Config{}, err
	}
	fds := r.FDs
	next := func(has bool) *os.File {
		if !has || len(fds) == 0 {
			return nil
		}
		f := os.NewFile(uintptr(fds[0]), "port")
		fds = fds[1:]
		return f
	}
	c := h.Config
	c.Ports = nil
	for _, from := range h.Ports {
		p := from.Port
		if f := next(from.HasIn); f != nil {
			p.In = io.Reader(f)
		}
		if f := next(from.HasOut); f != nil {
			p.Out = io.Writer(f)
		}
		p.Listener = next(from.HasListener)
		c.Ports = append(c.Ports, p)
	}
	if len(fds) != 0 {
		return Config{}, fmt.Errorf("%d descriptors too many for a console", len(fds))
	}
	return c, nil
}
