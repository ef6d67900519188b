//go:build !defect

package confine

func tryDefect() {}
