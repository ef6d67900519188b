// Package exit has the exit codes of the program mayfly. Package flags documents them.
package exit

// Codes. A signal that kills the machine adds its number to 128.
const (
	OK     = 0
	Error  = 1
	Usage  = 2
	Panic  = 3
	Crash  = 4
	KVM    = 5
	Image  = 6
	Signal = 128
)
