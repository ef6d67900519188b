package mayfly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mayfly-vm/mayfly/internal/child"
	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/ratelimit"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Plan is that of VM.
func (p *Process) Plan() *Plan { return p.plan }

// Start is VM.Start.
func (p *Process) Start(ctx context.Context) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	forget := context.AfterFunc(ctx, func() { p.kill(ctx.Err().Error()) })
	c, err := p.post(child.Start, nil, nil, time.Now().Add(answerTime))
	if err == nil {
		err = c.wait(ctx, nil)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		forget()
		if p.life = lifeNew; errors.Is(err, errGone) && !p.killed {
			err = errors.Join(err, p.err)
		}
		return err
	}
	p.life, p.forget = lifeStarted, forget
	if p.ending {
		forget()
	} else if p.input != nil {
		p.input.run()
	}
	return nil
}

// begin is the beginning of a Start, of which there is one at a time.
func (p *Process) begin(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrClosed
	case p.life != lifeNew:
		return ErrStarted
	case ctx.Err() != nil:
		return ctx.Err()
	}
	p.life = lifeStarting
	return nil
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
func (p *Process) Shutdown(ctx context.Context) (Outcome, error) {
	p.mu.Lock()
	closed, life := p.closed, p.life
	p.mu.Unlock()
	switch {
	case closed:
		return p.Wait(context.WithoutCancel(ctx))
	case life == lifeNew:
		return Outcome{}, ErrNotRunning
	}
	if c, err := p.post(child.PowerButton, nil, nil, time.Now().Add(killTime)); err == nil && c.accepted(ctx) {
		if o, err := p.Wait(ctx); ctx.Err() == nil || err == nil {
			return o, err
		}
	}
	_ = p.Kill() // it may have ended
	return p.Wait(context.WithoutCancel(ctx))
}

// State is VM.State.
func (p *Process) State() State {
	p.mu.Lock()
	closed, ending := p.closed, p.ending
	p.mu.Unlock()
	switch {
	case closed:
		return StateClosed
	case ending:
		return StateEnded
	}
	var s State
	if err := p.ask(child.State, nil, nil, answerTime, &s); errors.Is(err, ErrClosed) {
		return StateClosed
	}
	switch s {
	case StateNew, StateRunning, StatePaused:
		return s
	}
	return StateEnded
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
	if err := p.ask(child.Stats, nil, nil, answerTime, &s); err != nil {
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
func (p *Process) Pause(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := p.post(child.Pause, nil, nil, time.Now().Add(answerTime))
	if err != nil {
		return err
	}
	return c.wait(ctx, nil)
}

// Resume is VM.Resume.
func (p *Process) Resume() error { return p.ask(child.Resume, nil, nil, answerTime, nil) }

// PowerButton is VM.PowerButton.
func (p *Process) PowerButton() error { return p.ask(child.PowerButton, nil, nil, answerTime, nil) }

// Break is VM.Break.
func (p *Process) Break() error { return p.ask(child.Break, nil, nil, answerTime, nil) }

// Kill is VM.Kill. A process that does not end its machine within 100 ms is killed.
func (p *Process) Kill() error {
	p.mu.Lock()
	closed, running := p.closed, p.life != lifeNew && !p.ending
	p.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case !running:
		return ErrNotRunning
	}
	p.kill("")
	return nil
}

// kill has the machine end as Killed: by its process, or with it.
func (p *Process) kill(detail string) {
	p.mu.Lock()
	if p.ending {
		p.mu.Unlock()
		return
	}
	p.killed, p.detail = true, detail
	p.mu.Unlock()
	time.AfterFunc(killTime, func() {
		p.mu.Lock()
		ending := p.ending
		p.mu.Unlock()
		if !ending {
			p.murder(nil)
		}
	})
	go func() { // the process may not read
		_ = p.conn.Send(&child.Message{Method: child.Kill}, time.Now().Add(killTime))
	}()
}

// Close is VM.Close: after it nothing of the process is left, unless the host's kernel does not
// let go of it.
func (p *Process) Close() error {
	p.closing.Do(p.close)
	return nil
}

func (p *Process) close() {
	p.mu.Lock()
	limit := closeTime
	if p.ending && !p.killed {
		limit = closeEndedTime
	}
	p.closed, p.killed = true, true
	p.mu.Unlock()
	p.conn.Finish() // the process closes its machine, and ends
	defer time.AfterFunc(limit, func() { p.murder(nil) }).Stop()
	p.dropFar()
	go func() {
		<-p.gone
		<-p.done
		p.input.stop()
		if p.output != nil {
			p.output.from.Close()
			<-p.output.done
		}
		close(p.released)
	}()
	select {
	case <-p.released:
	case <-time.After(limit + killTime):
	}
}

// Released is VM.Released.
func (p *Process) Released() <-chan struct{} { return p.released }

// SetDiskLimits is VM.SetDiskLimits.
func (p *Process) SetDiskLimits(device string, limits ratelimit.Config) error {
	return p.onDevice(child.SetDiskLimits, child.Device{Device: device, Limits: &limits})
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
	return p.ask(child.ChangeDisk, child.Device{Device: device, Medium: r}, r.FDs, changeTime, nil)
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

// onDevice is a call about a device that the machine has.
func (p *Process) onDevice(method string, d child.Device) error {
	if !slices.ContainsFunc(p.plan.Devices, func(has PlannedDevice) bool { return has.Name == d.Device }) {
		return fmt.Errorf("%w: %q", ErrNoDevice, d.Device)
	}
	return p.ask(method, d, nil, answerTime, nil)
}

// RefreshDisk is VM.RefreshDisk.
func (p *Process) RefreshDisk(device string) error {
	return p.onDevice(child.RefreshDisk, child.Device{Device: device})
}

// SetLink is VM.SetLink.
func (p *Process) SetLink(device string, up bool) error {
	return p.onDevice(child.SetLink, child.Device{Device: device, Up: up})
}

// ResizeConsole is VM.ResizeConsole.
func (p *Process) ResizeConsole(device string, port int, cols, rows uint16) error {
	return p.onDevice(child.ResizeConsole, child.Device{Device: device, Port: port, Cols: cols, Rows: rows})
}
