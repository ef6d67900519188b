package disk

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Transferred describes an open File to another process, which gets its descriptors: what
// takes more than a descriptor to find out. That process opens, locks and asks nothing.
type Transferred struct {
	Path                     string
	ReadOnly, Direct, Device bool
	Memory                   bool // on a file system without a device
	Blocks                   Blocks
	Separate                 bool // there is another descriptor: past O_DIRECT
	Claimed                  bool // another claims a block device
	Spare                    bool // the last is that of Unlocked
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
	if fd, err := f.Unlocked(); err == nil {
		f.spare, t.Spare = fd, true
		fds = append(fds, fd)
	}
	return t, fds
}

// Unlocked opens the file once more, for the same access to the guest's data, without its
// lock: for who keeps it open after it was closed, as io_uring does for some time. The caller
// closes the descriptor.
func (f *File) Unlocked() (int, error) {
	switch {
	case f.spare >= 0:
		return unix.FcntlInt(uintptr(f.spare), unix.F_DUPFD_CLOEXEC, 0)
	case f.handed: // to a process that may open nothing
		return -1, os.ErrPermission
	}
	flags, err := unix.FcntlInt(uintptr(f.fd), unix.F_GETFL, 0)
	if err != nil {
		return -1, err
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(f.fd), flags&(unix.O_ACCMODE|unix.O_DIRECT)|unix.O_CLOEXEC, 0)
}

// Received is the File in the process that got the descriptors, which are the File's from
// then on, also if it fails.
func (t *Transferred) Received(fds []int) (*File, error) {
	f := &File{path: t.Path, fd: -1, plain: -1, claim: -1, spare: -1, handed: true, readOnly: t.ReadOnly, direct: t.Direct, device: t.Device, memory: t.Memory, blocks: t.Blocks}
	want := 1
	for _, more := range []bool{t.Separate, t.Claimed, t.Spare} {
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
	rest := fds[1:]
	for _, one := range []struct {
		has bool
		fd  *int
	}{{t.Separate, &f.fd}, {t.Claimed, &f.claim}, {t.Spare, &f.spare}} {
		if one.has {
			*one.fd, rest = rest[0], rest[1:]
		}
	}
	f.nowait.Store(!f.direct && !f.memory)
	if err := f.Refresh(); err != nil {
		f.Close()
		return nil, &Error{t.Path, err}
	}
	return f, nil
}
