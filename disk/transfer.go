package disk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Transferred describes an open File to another process, which gets its descriptors: what
// takes more than a descriptor to find out. That process opens, locks and asks nothing.
type Transferred struct {
	Path                     string
	ReadOnly, Direct, Device bool
	Memory                   bool // on a file system without a device
	Blocks                   Blocks
	Separate                 bool // there are two descriptors: for the guest's data, and past O_DIRECT
	Claimed                  bool // the last descriptor claims a block device
}

// Transfer describes f, and returns its descriptors, which stay f's. The lock is one of
// the open file: it lasts until both processes have closed it.
func (f *File) Transfer() (Transferred, []int) {
	t := Transferred{
		Path: f.path, ReadOnly: f.readOnly, Direct: f.direct, Device: f.device, Memory: f.memory, Blocks: f.blocks,
		Separate: f.fd != f.plain, Claimed: f.claim >= 0,
	}
	fds := []int{f.plain}
	if t.Separate {
		fds = append(fds, f.fd)
	}
	if t.Claimed {
		fds = append(fds, f.claim)
	}
	return t, fds
}

// Received is the File in the process that got the descriptors, which are the File's from
// then on, also if it fails.
func (t *Transferred) Received(fds []int) (*File, error) {
	f := &File{path: t.Path, fd: -1, plain: -1, claim: -1, readOnly: t.ReadOnly, direct: t.Direct, device: t.Device, memory: t.Memory, blocks: t.Blocks}
	want := 1
	for _, more := range []bool{t.Separate, t.Claimed} {
		if more {
			want++
		}
	}
	if len(fds) != want {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, &Error{t.Path, fmt.Errorf("%d descriptors came, of %d: %w", len(fds), want, os.ErrInvalid)}
	}
	f.plain, f.fd = fds[0], fds[0]
	if t.Separate {
		f.fd = fds[1]
	}
	if t.Claimed {
		f.claim = fds[want-1]
	}
	f.nowait.Store(!f.direct && !f.memory)
	if err := f.Refresh(); err != nil {
		f.Close()
		return nil, &Error{t.Path, err}
	}
	return f, nil
}
