// Package machine runs one virtual machine from its start to its end, over its
// restarts: memory, vCPUs, buses and devices, supervision, the report of a crash.
// What it needs it is given in a Spec; what it has to say goes to the Spec's sinks
// and into the Outcome.
package machine

import (
	"fmt"
	"io"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/loader"
	"github.com/mayfly-vm/mayfly/internal/reports"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/smbios"
	"github.com/mayfly-vm/mayfly/timeline"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Spec is what a machine is made of. The machine takes its files, host and devices
// over and closes them.
type Spec struct {
	Plan    *layout.Plan
	Image   *kernel.Image
	Initrds []loader.File
	Host    hypervisor.Host
	Devices []Device // in the order of Plan.Devices
	// Software says that Host is the software processor, for which KVM allocates nothing.
	Software bool

	CPUs      int
	Memory    uint64 // bytes
	HugePages bool   // from the host's pool
	Prealloc  bool
	Features  hypervisor.Features
	// Counted has time be that of instructions, and devices come to their end before the next one. See hypervisor.Options.
	Counted  bool
	SMBIOS   *smbios.Config // nil: no tables
	Watchdog Watchdog
	// ExitOnReboot ends the machine where the guest reboots; else it starts again in place.
	ExitOnReboot bool

	Confinement Confinement // nil: none

	Console  Console
	Timeline *timeline.Recorder // nil: nothing is recorded
	Reports  *reports.Limiter   // nil: nothing is reported
}

// Confinement takes rights from the process, once they are not needed any more.
type Confinement interface {
	// Seal is called when all is open, before a vCPU runs: once. removals are descriptors
	// of the directories in which devices remove files at their end.
	Seal(removals []int) error
	// Thread is called by the thread of each vCPU, which no other goroutine gets.
	Thread() error
	// Applied names what was taken.
	Applied() []string
}

// Device is an open virtio device.
type Device struct {
	Name   string // for reports
	Device virtio.Device
	Packed bool // offer packed virtqueues
}

// Console is the other end of the serial port.
type Console struct {
	In    io.Reader // nil: no input
	Out   io.Writer // nil: output is discarded
	Limit uint64    // bytes that Out gets at most; 0: no limit
}

// Watchdog is what happens when a guest that has started its watchdog is silent for
// too long.
type Watchdog uint8

// Watchdogs.
const (
	NoWatchdog Watchdog = iota
	WatchdogRestart
	WatchdogExit
)

// closeDevices closes the devices.
func (s *Spec) closeDevices() {
	for _, d := range s.Devices {
		// Some file systems report only now that something was not written.
		if err := d.Device.Close(); err != nil {
			s.Reports.Report(d.Name, fmt.Errorf("closed with an error: %w", err))
		}
	}
	s.Devices = nil
}

// Close gives back what the Spec holds. Fields that are not set yet are left out.
func (s *Spec) Close() {
	s.closeDevices()
	if s.Host != nil {
		s.Host.Close()
	}
	for i := range s.Initrds {
		s.Initrds[i].Close()
	}
	if s.Image != nil {
		s.Image.Close()
	}
	s.Host, s.Initrds, s.Image = nil, nil, nil
}

// ready waits for what devices have begun to open and not yet opened: a helper
// process comes up while the machine is being made.
func (s *Spec) ready() error {
	for _, d := range s.Devices {
		if r, ok := d.Device.(interface{ Ready() error }); ok {
			if err := r.Ready(); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal applies the confinement.
func (s *Spec) seal() error {
	if s.Confinement == nil {
		return nil
	}
	var removals []int
	for _, d := range s.Devices {
		if f, ok := d.Device.(virtio.FileDevice); ok {
			removals = append(removals, f.Directories()...)
		}
	}
	return guarded("confining the process", func() error { return s.Confinement.Seal(removals) })
}

// outputDevice is a device that passes the guest's output on, as the virtio console.
type outputDevice interface {
	// CloseWithin writes out what is left, for so long at most.
	CloseWithin(time.Duration) error
	Close() error
	// Lost is how many bytes of output went nowhere, and why.
	Lost() (bytes uint64, cause error)
	// Undelivered is how many bytes have not arrived, or never will.
	Undelivered() uint64
}
