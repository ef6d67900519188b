package main

import (
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/internal/flags"
	"github.com/mayfly-vm/mayfly/internal/doctor"
)

func examine(o *flags.Doctor) int {
	found := doctor.Examine(doctor.This(o.KVM))
	return judged(found.Ready, shown(o.JSON, found, func() string {
		var text strings.Builder
		_ = found.Write(&text) // a strings.Builder takes all
		return text.String()
	}))
}
