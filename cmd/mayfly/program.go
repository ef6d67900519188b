package main

import (
	"time"

	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
)

const programName = "mayfly"

// Exit codes. exitTable says what they mean.
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2
	exitPanic  = 3
	exitCrash  = 4
	exitKVM    = 5
	exitImage  = 6
	exitHangup = 129
	exitInt    = 130
	exitQuit   = 131
	exitTerm   = 143
)

// program is all that help, completion, man page and reference are made of.
func program() *option.Program {
	p := &option.Program{
		Name:  programName,
		Brief: "start virtual machines in milliseconds",
		Long: []string{
			"Mayfly boots a kernel as you have it, a vmlinux or a distribution's /boot/vmlinuz, in a virtual machine on Linux/KVM. It enters the kernel directly by the PVH boot protocol: no firmware, no real mode, no decompressor inside the guest.",
			"The guest's console is standard input and output; Mayfly's own words go to standard error.",
		},
		Tables:  []option.Table{exitTable(), signalTable(), environmentTable()},
		Version: versionText(),
	}
	for _, name := range commandNames() {
		p.Commands = append(p.Commands, command(name, time.Time{}))
	}
	return p
}

func exitTable() option.Table {
	return option.Table{Title: "Exit codes", Rows: []option.Row{
		{Name: "0", Meaning: "the guest powered off, halted, rebooted with --on-reboot=exit, or was left with Ctrl-A x; of other commands: all is well"},
		{Name: "1", Meaning: "an error, told on standard error; of run also: output of the guest was lost, because standard output or a console's file failed (a full disk, a pipe without a reader), took nothing for seconds or reached its limit; of check and doctor: something is not as it must be"},
		{Name: "2", Meaning: "the command line, or a file named by --config, makes no sense"},
		{Name: "3", Meaning: "the guest's kernel panicked"},
		{Name: "4", Meaning: "the guest crashed (triple fault), or hung (watchdog)"},
		{Name: "5", Meaning: "KVM could not run the guest (internal error, failed entry)"},
		{Name: "6", Meaning: "a kernel or initrd file was changed under the running machine"},
		{Name: "129", Meaning: "killed by SIGHUP"},
		{Name: "130", Meaning: "killed by a second SIGINT"},
		{Name: "131", Meaning: "killed by SIGQUIT"},
		{Name: "143", Meaning: "killed by a second SIGTERM"},
	}}
}

func signalTable() option.Table {
	return option.Table{Title: "Signals and keys", Rows: []option.Row{
		{Name: "SIGINT, SIGTERM", Meaning: "the first presses the guest's power button, the second kills the machine; while the machine is being started, and on a terminal Ctrl-C then, the first ends it"},
		{Name: "SIGHUP, SIGQUIT", Meaning: "kill the machine at once"},
		{Name: "Ctrl-A x", Meaning: "leave: the machine is killed"},
		{Name: "Ctrl-A h", Meaning: "show the keys"},
		{Name: "Ctrl-A Ctrl-A", Meaning: "send Ctrl-A to the guest"},
	}}
}

func environmentTable() option.Table {
	return option.Table{Title: "Environment", Rows: []option.Row{
		{Name: "XDG_CACHE_HOME", Meaning: "unpacked kernels are kept in mayfly/kernels below it; unset: below ~/.cache"},
		{Name: "PATH", Meaning: "“mayfly NAME” runs mayfly-NAME beside this program, or else found here; mayfly-unpack, which unpacks kernels, mayfly-config, which reads YAML, and mayfly-usernet, the user network, are found alike"},
	}}
}
