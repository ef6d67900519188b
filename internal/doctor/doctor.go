// Package doctor examines a host and reports whether Mayfly can run machines on it, and what to do where it can't.
package doctor

import (
	"io/fs"

	"github.com/mayfly-vm/mayfly/kvm"
)

// Status is the verdict of one line.
type Status string

// The verdicts. Only Fail keeps machines from running, on KVM or at all.
const (
	OK   Status = "ok"
	Note Status = "note" // works, but something is slower or missing
	Fail Status = "FAIL"
)

// Line is the result of one check.
type Line struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what helps, unless Status is OK
}

// Report is the whole of an examination.
type Report struct {
	Ready bool   `json:"ready"` // no line failed
	Auto  Auto   `json:"auto"`
	Lines []Line `json:"lines"`
}

// KVM is what the examination asks of the device.
type KVM interface {
	APIVersion() (int, error)
	CheckExtension(kvm.Cap) (int, error)
	CreateVM() error // makes a machine and throws it away
	Close() error
}

// Host is where the facts come from.
type Host struct {
	Root   fs.FS                          // the file system's root, for /proc and /sys
	Device string                         // path of the KVM device
	Open   func(path string) (KVM, error) // opens it
	Owner  func(path string) (gid int)    // the group that owns a file; negative: unknown
	Soft   func() error                   // may the software processor be used?
	Limit  func(resource int) (soft, hard uint64, err error)

	Access     func(path string) error  // may it be opened for reading and writing?
	IOUring    func() error             // may a ring be made?
	Seccomp    func() error             // may a process filter its system calls?
	Landlock   func() int               // the version of Landlock's interface; 0: none
	Namespaces func() error             // may a user make namespaces?
	Program    func(name string) string // where a program of ours is; empty: nowhere
}

// Examine makes all checks. It changes nothing on the host.
func Examine(h Host) Report {
	r := &Report{}
	h.auto(r, h.device(r))
	h.memory(r)
	h.limits(r)
	h.virtio(r)
	h.confinement(r)
	h.programs(r)
	r.Ready = true
	for _, l := range r.Lines {
		if l.Status == Fail {
			r.Ready = false
		}
	}
	return *r
}

func (r *Report) add(name string, s Status, found, do string) {
	if s == OK {
		do = ""
	}
	r.Lines = append(r.Lines, Line{name, s, found, do})
}
