//go:build qcow2

package main

import _ "github.com/mayfly-vm/mayfly/disk/qcow2"

// withQCOW2 has nothing to do: this program is mayfly-qcow2.
func (r *running) withQCOW2() {}
