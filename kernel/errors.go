package kernel

import (
	"errors"
	"fmt"
)

// Causes, for errors.Is.
var (
	ErrNotKernel   = errors.New("not a kernel")
	ErrTruncated   = errors.New("truncated")
	ErrBadELF      = errors.New("bad ELF file")
	ErrBadNote     = errors.New("bad entry note")
	ErrBadBzImage  = errors.New("bad bzImage")
	ErrPayload     = errors.New("payload cannot be unpacked")
	ErrTooLarge    = errors.New("unpacks to more than allowed")
	ErrNoProtocol  = errors.New("no boot protocol fits")
	ErrNoPlace     = errors.New("no place in guest memory")
	ErrUnsupported = errors.New("not supported")
	ErrNotInitrd   = errors.New("not an initrd")
	ErrNoUnpacker  = errors.New("no program to unpack it with")
	ErrCacheDir    = errors.New("cache directory that others can write to")
)

// FileError is what is wrong with a file: one line that names it, what was found
// in it and what to do.
type FileError struct {
	Path  string
	Cause error  // one of this package's causes
	Found string // what was found
	Do    string // what to do about it; may be empty
	Err   error  // what lies below, if anything does

	what string // Found without what was expected
}

func (e *FileError) Error() string {
	s := e.Path + ": " + e.Found
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if e.Do != "" {
		s += "; " + e.Do
	}
	return s
}

// Unwrap gives the causes.
func (e *FileError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Err}
}

// Advice that several errors end in.
const (
	doGetKernel = "give a vmlinux with CONFIG_PVH=y or a distribution's /boot/vmlinuz-*"
	doCopyAgain = "copy or build the file again"
)

// bad makes the error of a part that doesn't know the file's path yet; Open fills it in.
func bad(cause error, do, format string, args ...any) *FileError {
	return &FileError{Cause: cause, Found: fmt.Sprintf(format, args...), Do: do}
}
