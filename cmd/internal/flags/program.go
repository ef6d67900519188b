package flags

import (
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
)

// Name is the program's name.
const Name = "mayfly"

// Program describes the whole program, of that version.
func Program(version string) *option.Program {
	p := &option.Program{
		Name:  Name,
		Brief: "start virtual machines in milliseconds",
		Long: []string{
			"Mayfly boots a kernel as you have it, a vmlinux or a distribution's /boot/vmlinuz, in a virtual machine on Linux, by KVM or by a processor in software. It enters the kernel directly by the PVH boot protocol: no firmware, no real mode, no decompressor inside the guest.",
			"The guest's console is standard input and output; Mayfly's own messages go to standard error.",
		},
		Tables:  []option.Table{exitTable(), signalTable(), environmentTable()},
		Version: version,
	}
	for _, name := range Names() {
		p.Commands = append(p.Commands, Command(name))
	}
	return p
}

// exitTable documents the codes of package exit.
func exitTable() option.Table {
	return option.Table{Title: "Exit codes", Rows: []option.Row{
		{Name: "0", Meaning: "the guest powered off, halted, rebooted with --on-reboot=exit, or was left with Ctrl-A x; of other commands: success"},
		{Name: "1", Meaning: "an error, reported on standard error; of run also: output of the guest was lost, because standard output or a console's file failed (a full disk, a pipe without a reader), accepted nothing for seconds or reached its limit; of check and doctor: something is not as it must be"},
		{Name: "2", Meaning: "usage error: the command line, or a file named by --config, is invalid"},
		{Name: "3", Meaning: "the guest's kernel panicked"},
		{Name: "4", Meaning: "the guest crashed (triple fault), or hung (watchdog)"},
		{Name: "5", Meaning: "KVM or the software processor could not run the guest (internal error, failed entry)"},
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
		{Name: "PATH", Meaning: "“mayfly NAME” runs mayfly-NAME from this program's folder, or else from these; mayfly-unpack, which unpacks kernels, mayfly-config, which reads YAML, mayfly-usernet, the user network, mayfly-broker, which connects to Unix sockets, mayfly-syscalls, of --confine=log, and mayfly-doc, which prints the manual page, the schema and completion scripts, are found the same way"},
	}}
}
