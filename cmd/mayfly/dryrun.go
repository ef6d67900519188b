package main

import (
	"io"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/cmd/internal/summary"
)

// show prints the machine that flags and file describe, as a file for --config, and in comments the plan of its start.
func (r *running) show() int {
	r.Connect(nil, io.Discard)
	plan, err := mayfly.NewPlan(r.Config)
	if err != nil {
		return fail(r.ExplainCmdline(err), "run")
	}
	machine, err := option.YAML(r.Machine())
	if err != nil {
		return fail(err, "run")
	}
	return report.Text("# The machine, as mayfly run --config FILE starts it.\n" + machine + "\n# What comes of it:\n" + summary.Plan(plan))
}
