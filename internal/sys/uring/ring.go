package uring

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrUnavailable is wrapped by New's errors when this kernel has no io_uring or
// forbids it (sysctl kernel.io_uring_disabled, seccomp).
var ErrUnavailable = errors.New("io_uring is not available")

// Options of a Ring.
type Options struct {
	// Cooperative lets completions wait until the thread that submitted enters the
	// kernel for anything, instead of interrupting it. Kernels before 5.19 don't
	// know it and do without.
	Cooperative bool
	// Files, if there are any, are registered: the fds of SQEs are indices into this list, of
	// which each may be -1 for now. The ring then is restricted for good to reading, writing
	// and syncing them, to the cancelling of that, and to ReplaceFile: whoever has the
	// descriptor of the ring can't open or connect anything by it, which a filter of system
	// calls would not see. Kernels before 5.10 can't, and New fails with ErrUnavailable.
	Files []int32
}

// Ring is an io_uring: a ring of submissions and one of completions, twice as
// long.
type Ring struct {
	fd    int
	rings []byte // both rings
	table []byte // the SQEs

	sqHead, sqTail, sqFlags *uint32
	cqHead, cqTail          *uint32
	sqes                    []SQE
	cqes                    []CQE
	sqMask, cqMask          uint32
	tail                    uint32 // of the submissions, ours: what the kernel hasn't been shown yet is after *sqTail
	head                    uint32 // of the completions
	fixed                   uint8  // sqeFixedFile when files are registered
}

// New makes a Ring for entries submissions between two calls of Submit, a power
// of two, and twice as many under way.
func New(entries int, o Options) (*Ring, error) {
	p := params{flags: setupClamp | setupSubmitAll}
	if o.Cooperative {
		p.flags |= setupCoopTaskrun | setupTaskrunFlag
	}
	basic := uint32(setupClamp)
	if len(o.Files) > 0 {
		basic |= setupDisabled // restrictions come before the first SQE
	}
	p.flags |= basic
	fd, err := setup(entries, &p)
	if err == unix.EINVAL { // a kernel that doesn't know a flag
		p = params{flags: basic}
		fd, err = setup(entries, &p)
	}
	switch err {
	case nil:
	case unix.ENOSYS, unix.EPERM, unix.EACCES:
		return nil, fmt.Errorf("%w: io_uring_setup: %w", ErrUnavailable, err)
	default:
		return nil, fmt.Errorf("io_uring_setup: %w", err)
	}
	r := &Ring{fd: fd}
	err = r.mmap(&p)
	if err == nil && len(o.Files) > 0 {
		err = r.restrict(o.Files)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// restrict registers the files and restricts the ring to them.
func (r *Ring) restrict(files []int32) error {
	if err := r.RegisterFiles(files); err != nil {
		return err
	}
	list := [...]restriction{
		{kind: restrictRequired, what: sqeFixedFile},
		{kind: restrictOp, what: opRead}, {kind: restrictOp, what: opReadv},
		{kind: restrictOp, what: opWrite}, {kind: restrictOp, what: opWritev},
		{kind: restrictOp, what: opFsync}, {kind: restrictOp, what: opCancel},
		{kind: restrictRegister, what: registerFilesUpdate},
	}
	err := r.register(registerRestrictions, unsafe.Pointer(&list), len(list))
	if err == nil {
		err = r.register(registerEnable, nil, 0)
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: this kernel's rings can't be restricted: %w", ErrUnavailable, err)
	}
	return err
}

// ReplaceFile puts another file at the index i of Options.Files; -1: none.
func (r *Ring) ReplaceFile(i, fd int) error {
	one := int32(fd)
	var pinned runtime.Pinner
	pinned.Pin(&one)
	defer pinned.Unpin()
	u := filesUpdate{offset: uint32(i), fds: uint64(uintptr(unsafe.Pointer(&one)))}
	return r.register(registerFilesUpdate, unsafe.Pointer(&u), 1)
}

// Discard forgets the SQEs that were not handed over.
func (r *Ring) Discard() {
	r.tail = atomic.LoadUint32(r.sqHead)
	atomic.StoreUint32(r.sqTail, r.tail)
}

func setup(entries int, p *params) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// mmap reaches the rings. The kernel that made them is trusted; a place outside
// the mapping would be its defect and is checked for all the same.
func (r *Ring) mmap(p *params) error {
	const need = featSingleMmap | featNoDrop | featSubmitStable
	if p.features&need != need {
		return fmt.Errorf("%w: this kernel's is older than 5.5", ErrUnavailable)
	}
	size := max(uint64(p.sq.array)+4*uint64(p.sqEntries), uint64(p.cq.cqes)+16*uint64(p.cqEntries))
	var err error
	if r.rings, err = unix.Mmap(r.fd, offSQRing, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("io_uring: cannot map the rings: %w", err)
	}
	if r.table, err = unix.Mmap(r.fd, offSQEs, int(64*p.sqEntries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return fmt.Errorf("io_uring: cannot map the submissions: %w", err)
	}
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[off : off+4][0])) }
	r.sqHead, r.sqTail, r.sqFlags, r.sqMask = at(p.sq.head), at(p.sq.tail), at(p.sq.flags), *at(p.sq.ringMask)
	r.cqHead, r.cqTail, r.cqMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.ringMask)
	r.sqes = unsafe.Slice((*SQE)(unsafe.Pointer(&r.table[0])), p.sqEntries)
	r.cqes = unsafe.Slice((*CQE)(unsafe.Pointer(at(p.cq.cqes))), p.cqEntries)
	if r.sqMask+1 != p.sqEntries || r.cqMask+1 != p.cqEntries {
		return errors.New("io_uring: the kernel's rings have masks that don't fit their sizes")
	}
	// Entry i of the ring is always SQE i.
	array := unsafe.Slice(at(p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i)
	}
	return nil
}

// Close gives the ring back. Nothing must be under way: the kernel would go on
// with it.
func (r *Ring) Close() {
	if r.table != nil {
		unix.Munmap(r.table)
	}
	if r.rings != nil {
		unix.Munmap(r.rings)
	}
	r.table, r.rings = nil, nil
	unix.Close(r.fd)
}

// FD is the ring's descriptor. It can be read, for poll(2), when a completion is there.
func (r *Ring) FD() int { return r.fd }

// Entries is how many submissions the ring takes between two calls of Submit.
func (r *Ring) Entries() int { return len(r.sqes) }

// RegisterFiles makes the fds of the SQEs to come indices into this list: the
// kernel need not look them up and count them each time.
func (r *Ring) RegisterFiles(fds []int32) error {
	if err := r.register(registerFiles, unsafe.Pointer(unsafe.SliceData(fds)), len(fds)); err != nil {
		return err
	}
	r.fixed = sqeFixedFile
	return nil
}

// RegisterBuffers pins memory for ReadFixed.
func (r *Ring) RegisterBuffers(v []unix.Iovec) error {
	return r.register(registerBuffers, unsafe.Pointer(unsafe.SliceData(v)), len(v))
}

func (r *Ring) register(op int, arg unsafe.Pointer, n int) error {
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), uintptr(op), uintptr(arg), uintptr(n), 0, 0)
	if errno != 0 {
		return fmt.Errorf("io_uring_register %d: %w", op, errno)
	}
	return nil
}

// Next is a free SQE, or nil when Submit must come first. Its methods say what
// it does, and it goes with the next Submit.
func (r *Ring) Next() *SQE {
	if r.tail-atomic.LoadUint32(r.sqHead) > r.sqMask {
		return nil
	}
	e := &r.sqes[r.tail&r.sqMask]
	r.tail++
	*e = SQE{flags: r.fixed}
	return e
}

// Pending is the number of SQEs that wait for Submit.
func (r *Ring) Pending() int { return int(r.tail - atomic.LoadUint32(r.sqHead)) }

// Submit hands over what is pending, in one system call, and waits until wait
// completions are there. Memory that the SQEs point to for their scatter-gather
// lists may be used anew afterwards; the buffers not before the completion.
func (r *Ring) Submit(wait int) error {
	atomic.StoreUint32(r.sqTail, r.tail)
	for {
		n := r.Pending()
		if n == 0 && wait == 0 {
			return nil
		}
		flags := uintptr(0)
		if wait > 0 {
			flags = enterGetEvents
		}
		_, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(n), uintptr(wait), flags, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN || errno == unix.EBUSY:
			// No memory for requests, or completions that nobody fetched.
			if r.Ready() {
				return nil
			}
			runtime.Gosched()
		case errno != 0:
			return fmt.Errorf("io_uring_enter: %w", errno)
		case r.Pending() == 0:
			return nil
		}
	}
}

// Ready reports whether Pop would find a completion.
func (r *Ring) Ready() bool { return atomic.LoadUint32(r.cqTail) != r.head }

// Nudge enters the kernel if it waits for that to bring completions (Options.
// Cooperative).
func (r *Ring) Nudge() {
	if atomic.LoadUint32(r.sqFlags)&sqTaskrun != 0 {
		unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 0, enterGetEvents, 0, 0)
	}
}

// Pop takes the next completion, if there is one.
func (r *Ring) Pop(c *CQE) bool {
	if !r.Ready() {
		return false
	}
	*c = r.cqes[r.head&r.cqMask]
	r.head++
	atomic.StoreUint32(r.cqHead, r.head)
	return true
}
