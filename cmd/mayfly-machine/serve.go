package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/process"
	"github.com/mayfly-vm/mayfly/internal/child"
)

// server serves one machine.
type server struct {
	conn          *child.Conn
	log           *logger
	vm            *mayfly.VM
	out           *os.File // the console's output; nil: there is none
	cpus, devices int

	mu    sync.Mutex
	calls map[uint64]context.CancelFunc // that can be given up
}

// serve makes the machine that the first request describes, and serves it until the program
// closes its end.
func serve(conn *child.Conn) error {
	m, err := conn.ReceiveFDs()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return err
	}
	if m.Method != child.New {
		return fmt.Errorf("the first request is %q", m.Method)
	}
	s := &server{conn: conn, log: newLogger(conn), calls: map[uint64]context.CancelFunc{}}
	s.vm, err = s.newMachine(m)
	if err != nil {
		return s.answer(m, nil, err)
	}
	defer s.vm.Close()
	if err := process.Hide(); err != nil {
		s.log.send(child.Host, fmt.Errorf("guest memory is not hidden from this user's other processes: %w", err))
	}
	if err := s.answer(m, s.vm.Plan(), nil); err != nil {
		return err
	}
	for {
		m, err := conn.ReceiveFDs()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch m.Method {
		case child.Cancel:
			s.cancel(m)
			continue
		case child.Kill: // without an answer: the machine's end is one
			_ = s.vm.Kill() // it may have ended
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.mu.Lock()
		s.calls[m.Number] = cancel
		s.mu.Unlock()
		go s.do(ctx, m)
	}
}

func (s *server) cancel(m *child.Message) {
	var number uint64
	if json.Unmarshal(m.Body, &number) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.calls[number]; cancel != nil {
		cancel()
	}
}

// do answers a request.
func (s *server) do(ctx context.Context, m *child.Message) {
	result, err := s.request(ctx, m)
	s.mu.Lock()
	if m.Method != child.Start || err != nil { // the context of Start lives as long as the machine
		s.calls[m.Number]()
	}
	delete(s.calls, m.Number)
	s.mu.Unlock()
	_ = s.answer(m, result, err) // fails when the program has gone, which ends this one
	if m.Method == child.Start && err == nil {
		s.wait()
	}
}

// wait tells how the machine ends.
func (s *server) wait() {
	o, err := s.vm.Wait(context.Background())
	if s.out != nil {
		s.out.Close() // all of the output has been written; the program reads to its end
	}
	_ = send(s.conn, &child.Message{Method: child.Ended}, child.End{
		Reason: string(o.Reason), Detail: o.Detail, Restarts: o.Restarts, Lost: o.Lost, LostCause: child.Encode(o.LostCause),
		Processor: o.Processor, Confinement: o.Confinement, Error: child.Encode(err),
	})
}

func (s *server) request(ctx context.Context, m *child.Message) (result any, err error) {
	switch m.Method {
	case child.Start:
		if err = s.vm.Start(ctx); err == nil && s.devices > 0 {
			process.SpareProcessor(s.cpus)
		}
		return nil, err
	case child.Pause:
		return nil, s.vm.Pause(ctx)
	case child.Resume:
		return nil, s.vm.Resume()
	case child.PowerButton:
		return nil, s.vm.PowerButton()
	case child.Break:
		return nil, s.vm.Break()
	case child.State:
		return s.vm.State(), nil
	case child.Stats:
		return s.vm.Stats(), nil
	}
	return nil, s.onDevice(m)
}

// onDevice serves requests about a device.
func (s *server) onDevice(m *child.Message) error {
	files := &descriptors{m.FDs}
	defer files.close()
	var d child.Device
	if err := json.Unmarshal(m.Body, &d); err != nil {
		return err
	}
	switch m.Method {
	case child.SetDiskLimits:
		if d.Limits == nil {
			return errors.New("no limits")
		}
		return s.vm.SetDiskLimits(d.Device, *d.Limits)
	case child.ChangeDisk:
		if d.Medium == nil {
			return errors.New("no medium")
		}
		d.Medium.FDs = files.take(d.Medium.Files)
		medium, err := received(d.Medium)
		if err != nil {
			return err
		}
		return s.vm.ChangeDisk(d.Device, medium)
	case child.RefreshDisk:
		return s.vm.RefreshDisk(d.Device)
	case child.SetLink:
		return s.vm.SetLink(d.Device, d.Up)
	case child.ResizeConsole:
		return s.vm.ResizeConsole(d.Device, d.Port, d.Cols, d.Rows)
	}
	return fmt.Errorf("%q is no request", m.Method)
}

func (s *server) answer(m *child.Message, result any, err error) error {
	return send(s.conn, &child.Message{Number: m.Number, Error: child.Encode(err)}, result)
}

func send(c *child.Conn, m *child.Message, body any) error {
	if err := m.Pack(body); err != nil {
		return err
	}
	return c.Send(m, time.Time{})
}
