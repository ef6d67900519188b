package machine

import (
	"fmt"
	"runtime/debug"
)

// brokenError is a panic of our own code, kept from the program around it: other
// machines run on there, and a terminal must be given back.
type brokenError struct {
	doing string
	cause any
	stack []byte
}

func broken(doing string, cause any) error {
	return &brokenError{doing, cause, debug.Stack()}
}

// guarded is do, where a panic of our own code is an error.
func guarded(doing string, do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = broken(doing, r)
		}
	}()
	return do()
}

// Error tells where it happened, for a report of the defect.
func (e *brokenError) Error() string {
	return fmt.Sprintf("mayfly: defect while %s: %v; please report it with this:\n%s", e.doing, e.cause, e.stack)
}

// Unwrap gives the cause where it is an error.
func (e *brokenError) Unwrap() error {
	err, _ := e.cause.(error)
	return err
}
