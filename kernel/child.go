package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/companion"
	"github.com/mayfly-vm/mayfly/internal/compression"
)

// unpackByProgram is an Unpacker that runs compression.Program. A hostile stream so
// meets its decoder in a process that holds nothing but a pipe to read from and
// the file to write to, and takes no machine of this process down with it.
//
// The stream goes through a pipe although the child could read the file itself:
// this way src sees every byte that the decoder sees, whatever happens to the
// file meanwhile, and the child ends with this process, when the pipe does.
func unpackByProgram(dst *os.File, src io.Reader, kind compression.Kind, limit int64) (int64, error) {
	path := companion.Find(compression.Program)
	if path == "" {
		return 0, errNoUnpacker(kind)
	}
	c, err := startChild(path, dst, kind, limit)
	if err != nil {
		return 0, &FileError{
			Cause: ErrNoUnpacker, Found: fmt.Sprintf("is packed with %s, and %s, which would unpack it, cannot be run", kind, path), Err: err,
			Do: "install " + compression.Program + " again, or give an unpacked vmlinux",
		}
	}
	fed := make(chan error, 1)
	go func() { fed <- c.feed(src) }()
	line := c.listen()
	state, err := c.process.Wait()
	// The feeder fails now if it hasn't ended: nobody reads.
	if e := <-fed; e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	return c.outcome(state, line, dst, kind, limit)
}

type child struct {
	path    string
	process *os.Process
	in      *os.File // the stream goes in here
	says    *os.File
}

func startChild(path string, dst *os.File, kind compression.Kind, limit int64) (*child, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inR.Close()
	saysR, saysW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return nil, err
	}
	defer saysW.Close()
	p, err := companion.Start(path, []string{compression.Program, string(kind), fmt.Sprint(limit)}, []*os.File{inR, dst, saysW}, companion.Isolated)
	if err != nil {
		inW.Close()
		saysR.Close()
		return nil, err
	}
	// The real program sets this limit itself; another one meets it all the same.
	// An error means that it has ended already, and outcome reads the length.
	_ = unix.Prlimit(p.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(limit) + 1, Max: uint64(limit) + 1}, nil)
	return &child{path, p, inW, saysR}, nil
}

// feed passes the stream on until it or the child ends. Its error is one of
// reading the stream; the child is killed for it.
func (c *child) feed(src io.Reader) error {
	defer c.in.Close()
	buf := make([]byte, 256<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := c.in.Write(buf[:n]); err != nil {
				return nil // the child has read enough; its exit code reports of what
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			_ = c.process.Kill()
			return err
		}
	}
}

// lineMax bounds how much of what the child says is kept.
const lineMax = 300

// listen returns the first line that the child says, when it has said all.
func (c *child) listen() string {
	defer c.says.Close()
	var b bytes.Buffer
	_, _ = io.CopyN(&b, c.says, lineMax) // what can't be read isn't reported
	_, _ = io.Copy(io.Discard, c.says)
	line, _, _ := strings.Cut(b.String(), "\n")
	return printable(strings.TrimPrefix(line, compression.Program+": "))
}

// outcome checks what the child did. It may be in the hands of whoever made the
// stream, so neither its exit code nor the file is believed: the file's length is
// bounded here as well.
func (c *child) outcome(state *os.ProcessState, line string, dst *os.File, kind compression.Kind, limit int64) (int64, error) {
	st, err := dst.Stat()
	if err != nil {
		return 0, &compression.WriteError{Err: err}
	}
	head, err := headOf(dst)
	if err != nil {
		return 0, &compression.WriteError{Err: err}
	}
	code := state.ExitCode()
	switch {
	case st.Size() > limit:
		return 0, fmt.Errorf("%s: %w: over %d", kind, compression.ErrLimit, limit)
	case code == compression.ExitForeign || code == compression.ExitDone && identify(head) != FormatELF:
		return 0, &compression.ForeignError{Head: head}
	case code == compression.ExitDone:
		return st.Size(), nil
	}
	if err := compression.ExitError(code, line); err != nil {
		return 0, err
	}
	// Killed (by a limit of its own, or for want of memory), or Go's runtime gave up.
	msg := c.path + " failed: " + state.String()
	if line != "" {
		msg += ": " + line
	}
	return 0, errors.New(msg)
}

func errNoUnpacker(kind compression.Kind) error {
	return bad(ErrNoUnpacker,
		"put "+compression.Program+" there, or give an unpacked vmlinux (Linux's scripts/extract-vmlinux makes one); in a Go program, import _ \"github.com/mayfly-vm/mayfly/kernel/unpack\"",
		"is packed with %s, and the program that unpacks it, %s, is neither beside this program nor in PATH", kind, compression.Program)
}
