package timeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

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

// File is where a snapshot will be written.
type File struct{ file *os.File }

// Create opens a file for a snapshot, in the format that its name asks for: .json, .svg or
// .html. What is in it stays until Write, which opens nothing: not even the time zone,
// which is read here.
func Create(name string) (*File, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	// O_NONBLOCK: a FIFO that nobody reads is an error. os.Create would open it for
	// reading too, and what is written would be lost.
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o666)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("%s is a FIFO that nobody reads: start the reader first", name)
	}
	if err != nil {
		return nil, err
	}
	_, _ = time.Now().Zone()
	return &File{f}, nil
}

// Write makes the snapshot the content of the file, and closes it.
func (f *File) Write(s Snapshot) error {
	var err error
	if st, e := f.file.Stat(); e == nil && st.Mode().IsRegular() {
		err = f.file.Truncate(0)
	}
	if err == nil {
		switch filepath.Ext(f.file.Name()) {
		case ".json":
			err = s.WriteJSON(f.file)
		case ".svg":
			err = s.WriteSVG(f.file)
		default:
			err = s.WriteHTML(f.file)
		}
	}
	if e := f.file.Close(); err == nil {
		err = e
	}
	return err
}

// WriteFile writes the snapshot to a file, as Create and Write do.
func (s Snapshot) WriteFile(name string) error {
	f, err := Create(name)
	if err != nil {
		return err
	}
	return f.Write(s)
}
