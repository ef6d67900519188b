//go:build defect

package confine

import (
	"os"
	"strconv"

	"github.com/mayfly-vm/mayfly/internal/defect"
)

// tryDefect tries what MAYFLY_DEFECT has the number of, in a build for tests.
func tryDefect() {
	if n, err := strconv.Atoi(os.Getenv("MAYFLY_DEFECT")); err == nil {
		defect.Try(n)
		os.Exit(0)
	}
}
