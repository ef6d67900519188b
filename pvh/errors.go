package pvh

import (
	"errors"
	"fmt"
)

// Causes, for errors.Is. The errors that carry them name what was found.
var (
	ErrBadMagic       = errors.New("no start info magic")
	ErrVersion        = errors.New("start info version")
	ErrTooManyEntries = errors.New("too many memory map entries")
	ErrTooManyModules = errors.New("too many modules")
	ErrOutOfRange     = errors.New("address out of range")
	ErrOverlap        = errors.New("memory map entries overlap")
	ErrUnsorted       = errors.New("memory map is not sorted")
	ErrBadType        = errors.New("unknown memory type")
	ErrBadNote        = errors.New("malformed ELF note")
)

// RangeError reports that a range of guest-physical memory doesn't end where the
// ABI, or Linux's reading of it, needs it to end. It matches ErrOutOfRange.
type RangeError struct {
	What       string // the structure, such as "memory map"
	Addr, Size uint64
	Limit      uint64 // the first address after the range allowed
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("pvh: %s at %#x, %d bytes: must end at or below %#x", e.What, e.Addr, e.Size, e.Limit)
}

// Is makes errors.Is(err, ErrOutOfRange) true.
func (e *RangeError) Is(target error) bool { return target == ErrOutOfRange }

// OverlapError names the two ranges of a memory map that claim the same
// addresses. It matches ErrOverlap.
type OverlapError struct{ A, B MemMapEntry }

func (e *OverlapError) Error() string {
	return fmt.Sprintf("pvh: memory map: %v and %v overlap", e.A, e.B)
}

// Is makes errors.Is(err, ErrOverlap) true.
func (e *OverlapError) Is(target error) bool { return target == ErrOverlap }

// checkRange reports a *RangeError unless [addr, addr+size) lies below limit.
func checkRange(what string, addr, size, limit uint64) error {
	if addr > limit || size > limit-addr {
		return &RangeError{What: what, Addr: addr, Size: size, Limit: limit}
	}
	return nil
}
