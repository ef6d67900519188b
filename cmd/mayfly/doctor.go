package main

import (
	"strings"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/internal/doctor"
)

func doctorCommand() *option.Command {
	var device string
	var asJSON bool
	return &option.Command{
		Name: "doctor", Brief: "tell whether this host can run machines, and what to do where it can't",
		Long: []string{"Looks at the KVM device and its capabilities, huge pages, limits, what disks, networks and sockets can use, and the programs that belong beside this one. It changes nothing. Lines marked FAIL keep machines from running, and make the exit code 1; lines marked note cost speed or a feature."},
		Flags: []option.Flag{
			kvmFlag(&device),
			{Name: "json", Help: "as JSON", Value: option.Bool(&asJSON)},
		},
		Examples: []option.Example{{Line: "mayfly doctor", What: "look at this host"}},
		Run: func([]string) int {
			r := doctor.Examine(doctor.This(device))
			if asJSON {
				if code := printJSON(r); code != exitOK {
					return code
				}
			} else {
				var text strings.Builder
				_ = r.Write(&text) // which takes all
				if code := printText(text.String()); code != exitOK {
					return code
				}
			}
			if !r.Ready {
				return exitError
			}
			return exitOK
		},
	}
}

func kvmFlag(p *string) option.Flag {
	return option.Flag{Name: "kvm", Arg: "PATH", Default: "/dev/kvm", Help: "the KVM device", Value: option.Path(p)}
}
