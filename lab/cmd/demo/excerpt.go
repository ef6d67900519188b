package main

import (
	"bytes"
	"fmt"
	"io"
)

// excerpt passes on the first lines of a guest's console, and those from its init's on.
type excerpt struct {
	to      io.Writer
	partial []byte // the last line so far
	lines   int
	init    bool
}

// Write implements io.Writer.
func (e *excerpt) Write(p []byte) (int, error) {
	e.partial = append(e.partial, p...)
	for {
		line, rest, found := bytes.Cut(e.partial, []byte("\n"))
		if !found {
			return len(p), nil
		}
		e.partial = rest
		if err := e.line(bytes.TrimRight(line, "\r")); err != nil {
			return 0, err
		}
	}
}

func (e *excerpt) line(text []byte) error {
	if !e.init && bytes.Equal(text, initLine) {
		e.init = true
		if more := e.lines - firstLines; more > 0 {
			if _, err := fmt.Fprintf(e.to, "… %d lines more, then the init's:\n", more); err != nil {
				return err
			}
		}
	}
	e.lines++
	if e.lines > firstLines && !e.init {
		return nil
	}
	_, err := fmt.Fprintf(e.to, "%s\n", text)
	return err
}
