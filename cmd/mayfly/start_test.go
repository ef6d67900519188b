package main

import (
	"testing"
	"time"
)

// What the table costs a start that uses no device: the description of the flags, and reading a line.
func BenchmarkTable(b *testing.B) {
	line := []string{"vmlinux", "--initrd", "initrd.img", "--cpus", "2", "--memory", "1G", "--quiet"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := runCommand(time.Time{}).Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}
