// Package enum checks enumerations. All that a configuration has are typed strings,
// with the values that the command line and configuration files have; "" stands for
// the default, which is the first of the values.
package enum

import (
	"fmt"
	"slices"
	"strings"
)

// Check is nil where v is one of the values or "", and else an error that lists them.
func Check[T ~string](v T, values []T) error {
	if v == "" || slices.Contains(values, v) {
		return nil
	}
	var list strings.Builder
	for i, one := range values {
		switch {
		case i == 0:
		case i == len(values)-1:
			list.WriteString(" and ")
		default:
			list.WriteString(", ")
		}
		fmt.Fprintf(&list, "%q", one)
	}
	return fmt.Errorf("%q is unknown; there are %s", v, &list)
}
