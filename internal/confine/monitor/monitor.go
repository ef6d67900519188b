// Package monitor confines the process that runs one machine: a mayfly.Confinement.
package monitor

import (
	"fmt"
	"slices"
	"sync"

	"github.com/mayfly-vm/mayfly/internal/broker"
	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/landlock"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
	"github.com/mayfly-vm/mayfly/virtio"
)

// Mode is what happens at a system call that the confinement forbids.
type Mode string

// Modes.
const (
	On  Mode = "on"  // the process is killed (SIGSYS)
	Log Mode = "log" // a line on standard error, for the first of each kind; then it is made
	Off Mode = "off" // nothing is confined
)

// Confinement confines this process when its machine is about to run.
type Confinement struct {
	log  *logger // nil: calls are not logged but kill
	warn func(string)

	mu      sync.Mutex
	applied []string
}

// New returns a confinement for the one machine that this process runs. With Log it starts
// the program that writes the lines. warn is called, once, with what the host can't give.
func New(mode Mode, warn func(string)) (*Confinement, error) {
	c := &Confinement{warn: warn}
	if mode == Log {
		var err error
		if c.log, err = startLogger(); err != nil {
			return nil, fmt.Errorf("confinement: %w", err)
		}
	}
	return c, nil
}

// Open starts the program that connects to these sockets. It lives as long as this process.
func (c *Confinement) Open(peers []virtio.Peer) (virtio.Dial, error) {
	b, err := broker.Start(peers)
	if err != nil {
		return nil, err
	}
	return b.Dial, nil
}

// Seal takes from all threads what a running machine does not need, for good: files but
// for removals in the directories given, new TCP sockets, capabilities, and all system
// calls that are not in the table of docs/confinement.md. Where the host has no
// Landlock, the rest is applied.
func (c *Confinement) Seal(removals []int) error {
	filter, name := c.filter, "seccomp"
	if c.log != nil {
		filter, name = c.log.seal, "seccomp (log)"
	}
	version, err := confine.Seal(landlock.Rules{Remove: removals}, filter)
	if err != nil {
		return fmt.Errorf("confinement: %w; mayfly doctor says what this host gives, and --confine=off runs a machine without any", err)
	}
	if version == 0 {
		c.warn("warning: " + landlock.ErrUnsupported.Error() + ": of files, the filter of system calls alone keeps this process away (mayfly doctor)")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if version != 0 {
		c.applied = append(c.applied, fmt.Sprintf("landlock %d", version))
	}
	c.applied = append(c.applied, "no capabilities", name)
	return nil
}

func (c *Confinement) filter() error { return install(processProgram, seccomp.All) }

// Thread takes from a vCPU's thread what the other threads need alone.
func (c *Confinement) Thread() error {
	if c.log != nil {
		return c.log.vcpu()
	}
	if err := install(vcpuProgram, seccomp.This); err != nil {
		return fmt.Errorf("confinement: %w", err)
	}
	return nil
}

// Applied names the layers that the host has given: "landlock 7", "no capabilities",
// "seccomp".
func (c *Confinement) Applied() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.applied)
}
