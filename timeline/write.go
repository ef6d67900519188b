package timeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteJSON writes the snapshot as one indented JSON object. Times are nanoseconds since "start".
func (s Snapshot) WriteJSON(w io.Writer) error {
	if s.Marks == nil {
		s.Marks = []Mark{} // an empty list, never null
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

// CheckName reports whether WriteFile knows the format that a file's name asks for.
func CheckName(name string) error {
	switch filepath.Ext(name) {
	case ".json", ".svg", ".html":
		return nil
	}
	return fmt.Errorf("%q ends in none of .json, .svg and .html, so its format is not known", name)
}

// WriteFile writes the snapshot to a file in the format that its name asks for: .json, .svg or .html.
func (s Snapshot) WriteFile(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	// O_NONBLOCK: a FIFO that nobody reads is an error. os.Create would open it for
	// reading too, and what is written would be lost.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o666)
	if errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("%s is a FIFO that nobody reads: start the reader first", name)
	}
	if err != nil {
		return err
	}
	switch filepath.Ext(name) {
	case ".json":
		err = s.WriteJSON(f)
	case ".svg":
		err = s.WriteSVG(f)
	default:
		err = s.WriteHTML(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
