package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/hostkernel"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/timeline"
)

// running is one run of "mayfly run".
type running struct {
	flags.Run
	begun    time.Time      // when the program began
	timeline *timeline.File // nil: none
}

func (r *running) run(operands []string) int {
	if r.Timeline != "" && !r.DryRun {
		// First of all: the main thread's CPU time, from which the process's start is computed, should hold little else.
		start, origin := timeline.ProcessStart()
		r.Config.Timeline = timeline.New(start)
		r.Config.Timeline.SetOrigin(origin)
		if r.begun.After(start) {
			r.Config.Timeline.MarkAt("process and Go runtime up", r.begun)
		}
		r.Config.Timeline.Mark("command line read")
	}
	if err := r.Complete(operands); err != nil {
		return report.Usage(err, "run")
	}
	if err := r.findKernel(); err != nil {
		report.Message(report.Explain(err))
		return exit.Error
	}
	if r.DryRun {
		return r.show()
	}
	r.withQCOW2()
	return r.live()
}

// findKernel takes the newest kernel of this host where none is named.
func (r *running) findKernel() (err error) {
	if r.Config.Kernel != "" {
		return nil
	}
	if r.Config.Kernel, err = hostkernel.Newest("/boot"); err == nil && !r.Quiet && !r.DryRun {
		report.Message("booting " + r.Config.Kernel)
	}
	return err
}

// title describes the machine in the picture.
func (r *running) title(vm *mayfly.VM) (title, detail string) {
	c := &r.Config
	cpus := "1 CPU"
	if c.CPUs > 1 {
		cpus = fmt.Sprintf("%d CPUs", c.CPUs)
	}
	memory := c.Memory
	if memory == 0 {
		memory = mayfly.DefaultMemory
	}
	return "mayfly run " + filepath.Base(c.Kernel), fmt.Sprintf("%s, %s of memory, entered by %v, --load=%v", cpus, option.SizeText(memory), vm.Plan().Protocol, cmp.Or(c.Load, mayfly.LoadAuto))
}

// writeTimeline writes the picture and returns the exit code: code, or that of an error where code is a success.
func (r *running) writeTimeline(vm *mayfly.VM, code int) int {
	recorder := r.Config.Timeline
	if r.timeline == nil {
		return code
	}
	recorder.SetTitle(r.title(vm))
	if err := r.timeline.Write(recorder.Snapshot()); err != nil {
		report.Message("--timeline: " + report.Explain(err))
		if code == exit.OK {
			return exit.Error
		}
		return code
	}
	if !r.Quiet {
		report.Message("timeline written to " + r.Timeline)
	}
	return code
}
