// Package microvm holds the configuration of the small kernels that the lab
// builds: fragments over the kernel's allnoconfig.
package microvm

import _ "embed"

// Config is the fragment of the small kernel.
//
//go:embed microvm.config
var Config string

// NoPVH is added to [Config] for a kernel without the PVH entry.
//
//go:embed nopvh.config
var NoPVH string
