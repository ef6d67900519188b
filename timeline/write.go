package timeline

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	f, err := os.Create(name)
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
