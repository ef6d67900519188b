package disk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// takeFile makes a File of o.File, which it closes.
func takeFile(o Options) (*File, error) {
	f := &File{path: o.Path, fd: -1, plain: -1, claim: -1, spare: -1, readOnly: o.ReadOnly, direct: o.Direct}
	fd, err := duplicate(o)
	o.File.Close()
	if err != nil {
		return nil, err
	}
	f.fd, f.plain = fd, fd
	if err := f.useGiven(o); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// duplicate makes a descriptor that no os.File manages. It does not call o.File.Fd,
// which may change the file's mode.
func duplicate(o Options) (fd int, err error) {
	conn, err := o.File.SyscallConn()
	if err != nil {
		return -1, err
	}
	if e := conn.Control(func(n uintptr) { fd, err = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return -1, e
	}
	return fd, err
}

// useGiven checks the file, whose descriptor is plain.
func (f *File) useGiven(o Options) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.plain, &st); err != nil {
		return err
	}
	if err := checkType(st.Mode); err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(f.plain), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	if err := checkFlags(flags, o); err != nil {
		return err
	}
	f.device = isDevice(st)
	if err := f.lock(); err != nil {
		return err
	}
	if f.direct {
		if err := f.openOther(flags, o); err != nil {
			return err
		}
	}
	return f.measure()
}

func checkFlags(flags int, o Options) error {
	access := flags & unix.O_ACCMODE
	switch {
	case flags&unix.O_PATH != 0:
		return errors.New("file: it was opened with O_PATH, and cannot be read")
	case access == unix.O_WRONLY:
		return errors.New("file: it was opened for writing only; a disk is read too")
	case access == unix.O_RDONLY && !o.ReadOnly:
		return errors.New("file: it was opened for reading only; make the disk read-only (readonly), or open it for reading and writing")
	case flags&unix.O_APPEND != 0 && !o.ReadOnly:
		return errors.New("file: it was opened with O_APPEND, and all writes would go to its end")
	case flags&unix.O_DIRECT != 0 && !o.Direct:
		return errors.New("file: it was opened with O_DIRECT; set direct too, or open it without")
	}
	return nil
}

// openOther opens the file once more, with O_DIRECT or for what O_DIRECT refuses.
func (f *File) openOther(flags int, o Options) error {
	given := place{fd: f.plain, path: o.Path}
	other, err := given.open(flags&(unix.O_ACCMODE|unix.O_DIRECT) ^ unix.O_DIRECT | unix.O_CLOEXEC)
	switch {
	case errors.Is(err, unix.EINVAL):
		return explainDirect(err)
	case err != nil:
		return fmt.Errorf("direct: the file cannot be opened a second time: %w; leave direct out", err)
	case flags&unix.O_DIRECT != 0:
		f.plain = other
	default:
		f.fd = other
	}
	return nil
}
