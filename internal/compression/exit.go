package compression

import (
	"errors"
	"io"
)

// Program is the name of the program that unpacks for those that link no
// unpacker. It is run as
//
//	mayfly-unpack KIND LIMIT
//
// with the stream on standard input (a pipe), the file that it writes as
// standard output, no environment, and a pipe as standard error, on which it
// says in one line what failed. The Exit values are how it ends.
const Program = "mayfly-unpack"

// Exit codes of Program. 2 is avoided for errors of the stream, since Go's
// runtime ends a program so that panics or finds no memory.
const (
	ExitDone      = 0
	ExitUsage     = 2
	ExitCorrupt   = 3 // ErrCorrupt, and whatever else a decoder says
	ExitTruncated = 4 // io.ErrUnexpectedEOF
	ExitLimit     = 5 // ErrLimit
	ExitFeature   = 6 // ErrFeature
	ExitWrite     = 7 // *WriteError
	ExitForeign   = 8 // *ForeignError: standard output has its first bytes
)

// ExitCode is how Program reports an Unpacker's error.
func ExitCode(err error) int {
	var w *WriteError
	var f *ForeignError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &w):
		return ExitWrite
	case errors.As(err, &f):
		return ExitForeign
	case errors.Is(err, ErrLimit):
		return ExitLimit
	case errors.Is(err, ErrFeature):
		return ExitFeature
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ExitTruncated
	}
	return ExitCorrupt
}

// ExitError turns Program's end back into the error; nil for codes that are not
// in the table. line is what it said.
func ExitError(code int, line string) error {
	switch code {
	case ExitCorrupt:
		return &reportedError{line, ErrCorrupt}
	case ExitTruncated:
		return &reportedError{line, io.ErrUnexpectedEOF}
	case ExitLimit:
		return &reportedError{line, ErrLimit}
	case ExitFeature:
		return &reportedError{line, ErrFeature}
	case ExitWrite:
		return &WriteError{errors.New(line)}
	}
	return nil
}

// reportedError is an error of another process, whose text has the cause already.
type reportedError struct {
	line  string
	cause error
}

func (e *reportedError) Error() string { return e.line }
func (e *reportedError) Unwrap() error { return e.cause }
