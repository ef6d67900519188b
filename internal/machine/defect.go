//go:build defect

package machine

import (
	"runtime"

	"github.com/mayfly-vm/mayfly/internal/defect"
)

// A build with the tag defect is for tests of the confinement alone: a guest that writes N
// to defectPort has the monitor try what package defect has under N, as one could that has found a defect:
// in the vCPU's thread, or with defectElsewhere added in another one. The machine ends where
// the process lives on, and standard error has the result.
const (
	defectPort      = 0x5DE
	defectElsewhere = 0x80
)

type defective struct{ h *hardware }

// Read reads nothing.
func (defective) Read(_ uint64, p []byte) { clear(p) }

// Write does what is asked for.
func (d defective) Write(_ uint64, p []byte) {
	n := int(p[0])
	run := func() {
		defect.Try(n &^ defectElsewhere)
		d.h.endAs(PowerOff, "")
	}
	if n&defectElsewhere == 0 {
		run()
		return
	}
	go func() {
		runtime.LockOSThread()
		run()
	}()
}

func (h *hardware) addDefects() error { return h.ports.Add("defect", defectPort, 1, defective{h}) }
