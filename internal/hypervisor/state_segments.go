package hypervisor

import "github.com/mayfly-vm/mayfly/pvh"

// Segments are pointers to the segment registers: those of data and code by their numbers in
// instructions, ES, CS, SS, DS, FS and GS, then TR and LDT.
func (s *State) Segments() [8]*pvh.Segment {
	return [8]*pvh.Segment{&s.ES, &s.CS, &s.SS, &s.DS, &s.FS, &s.GS, &s.TR, &s.LDT}
}
