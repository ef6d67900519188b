package main

import (
	"os"

	"github.com/mayfly-vm/mayfly/cmd/internal/checkguest"
	"github.com/mayfly-vm/mayfly/cmd/internal/exit"
	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/cmd/internal/report"
	"github.com/mayfly-vm/mayfly/guest/check"
)

func runCheck(o *flags.Check) int {
	switch o.Emit {
	case "":
	case "-":
		_, err := os.Stdout.Write(check.ELF)
		return report.Written(err)
	default:
		if err := os.WriteFile(o.Emit, check.ELF, 0o644); err != nil {
			return fail(err, "check")
		}
		return exit.OK
	}
	var err error
	if o.Config.Confinement, err = confinement(o.Confine, report.Message); err != nil {
		return fail(err, "check")
	}
	result, err := checkguest.Run(o.Config)
	if err != nil {
		return fail(err, "check")
	}
	return judged(result.OK, shown(o.JSON, result, func() string { return result.Text(o.Facts) }))
}

// shown writes a result as JSON or as text.
func shown(asJSON bool, result any, text func() string) int {
	if asJSON {
		return report.JSON(result)
	}
	return report.Text(text())
}

// judged is the exit code of what was shown with code and is all right, or isn't.
func judged(ok bool, code int) int {
	if code == exit.OK && !ok {
		return exit.Error
	}
	return code
}
