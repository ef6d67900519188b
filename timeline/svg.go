package timeline

import "io"

// WriteSVG draws nothing yet.
func (s Snapshot) WriteSVG(w io.Writer) error  { return nil }
// WriteHTML draws nothing yet.
func (s Snapshot) WriteHTML(w io.Writer) error { return nil }
