package document

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
)

// Converter is the program that turns YAML into JSON, from standard input to standard output. A value keeps its line.
// Exit code 1 is a file with invalid content; standard error then has "LINE: what".
const Converter = "mayfly-config"

// maxJSON bounds what comes back: quotes and aliases make it longer.
const maxJSON = 8 << 20

// HostError is a YAML file that can't be read although its content may be valid.
type HostError struct {
	File string
	Msg  string
}

// Error names the file and what is missing or failed.
func (e *HostError) Error() string { return e.File + ": " + e.Msg }

// fromYAML has YAML turned into JSON.
func fromYAML(path string, yaml []byte) ([]byte, error) {
	program := companion.Find(Converter)
	if program == "" {
		return nil, &HostError{path, "is YAML, and the program that reads it, " + Converter + ", is neither beside this program nor in PATH: install it, or write JSON"}
	}
	// Files, not pipes: those would have to be written and read at the same time.
	var files [3]*os.File
	for i := range files {
		fd, err := unix.MemfdCreate(Converter, unix.MFD_CLOEXEC)
		if err != nil {
			return nil, &HostError{path, "a file in memory: " + err.Error()}
		}
		files[i] = os.NewFile(uintptr(fd), Converter)
		defer files[i].Close()
	}
	if _, err := files[0].WriteAt(yaml, 0); err != nil {
		return nil, &HostError{path, "a file in memory: " + err.Error()}
	}
	p, err := companion.Start(program, []string{Converter}, files[:], companion.Isolated)
	if err != nil {
		return nil, &HostError{path, err.Error()}
	}
	state, err := p.Wait()
	if err != nil {
		return nil, &HostError{path, Converter + ": " + err.Error()}
	}
	out, err := content(files[1], maxJSON)
	if err == nil && state.Success() {
		return out, nil
	}
	message, _ := content(files[2], 4096)
	return nil, converterError(path, string(message), state, err)
}

// content returns what a child wrote, from the beginning: its offset is shared with this process.
func content(f *os.File, limit int64) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > limit {
		return nil, errors.New("its output is too long")
	}
	return io.ReadAll(io.NewSectionReader(f, 0, limit))
}

// converterError is the error of a converter that failed with a message.
func converterError(path, message string, state *os.ProcessState, err error) error {
	message, _, _ = strings.Cut(message, "\n")
	if state.ExitCode() == 1 {
		line := 0
		if n, rest, ok := strings.Cut(message, ": "); ok {
			if at, err := strconv.Atoi(n); err == nil {
				line, message = at, rest
			}
		}
		return &Error{File: path, Line: line, Msg: message}
	}
	if err == nil {
		err = errors.New(strings.TrimSpace(state.String() + " " + message))
	}
	return &HostError{path, Converter + ": " + err.Error()}
}
