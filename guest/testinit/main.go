// Command testinit is the first process of the Linux guests that Mayfly's
// tests boot. It prints "init" at once, then a report of the machine that it
// finds (package report), then does what the word mayfly.test= on the kernel's
// command line says:
//
//	poweroff          power off (also without the word)
//	reboot[,TYPE]     restart, TYPE a word for /sys/kernel/reboot/type: acpi, kbd, pci, triple
//	triplefault       restart by a triple fault: the same as reboot,triple
//	halt              stop the processors
//	panic             end the first process, which makes the kernel panic
//	echo              write back each line of the console until "quit", then power off
//	flood[,KIB]       write that much numbered lines as fast as it goes, then power off
//	touch[,MIB]       write and check that much memory, then power off
//	button            wait for the power button, then power off
//	sleep             sleep for ever
//	ask               read such a word from the console, and do that
//	sysrq,LETTER      write the letter to /proc/sysrq-trigger: b restarts without a message
//
// mayfly.report=none leaves the report out, mayfly.report=brief the kernel's
// log in it.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/testinit/report"
)

func main() {
	os.Stdout.WriteString("init\n")
	debug.SetGCPercent(-1) // it ends soon, and guests of 64 MiB hold what it allocates
	mountAll()
	cmdline := words("/proc/cmdline")
	if kind := cmdline["mayfly.report"]; kind != "none" {
		r := survey(kind != "brief")
		// The kernel's messages must not come in between.
		unix.Klogctl(consoleOff, nil)
		if err := report.Write(os.Stdout, r); err != nil {
			fmt.Println("report:", err)
		}
		drain()
		unix.Klogctl(consoleOn, nil)
	}
	verb, arg, _ := strings.Cut(cmdline["mayfly.test"], ",")
	act(verb, arg)
	powerOff()
}

// Commands of syslog(2).
const (
	readAll    = 3
	consoleOff = 6
	consoleOn  = 7
	bufferSize = 10
)

// mountAll mounts what the report needs. A kernel that lacks one of them shows
// in the report.
func mountAll() {
	for _, m := range [][2]string{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}} {
		os.Mkdir(m[0], 0o755)
		if err := unix.Mount(m[1], m[0], m[1], 0, ""); err != nil && err != unix.EBUSY {
			fmt.Printf("mount %s: %v\n", m[0], err)
		}
	}
}

// words splits a command line into NAME=VALUE. Of two the last counts.
func words(file string) map[string]string {
	b, err := os.ReadFile(file)
	if err != nil {
		fmt.Println(err)
	}
	w := map[string]string{}
	for _, f := range strings.Fields(string(b)) {
		name, value, _ := strings.Cut(f, "=")
		w[name] = value
	}
	return w
}

func act(verb, arg string) {
	switch verb {
	case "", "poweroff":
	case "reboot":
		reboot(arg)
	case "triplefault":
		reboot("triple")
	case "halt":
		drain()
		unix.Reboot(unix.LINUX_REBOOT_CMD_HALT)
	case "panic":
		drain()
		os.Exit(1)
	case "echo":
		echo()
	case "flood":
		flood(number(arg, 64) << 10)
	case "touch":
		touch(number(arg, 16) << 20)
	case "button":
		waitForButton()
	case "sleep":
		fmt.Println("sleep: ready")
		select {}
	case "ask":
		fmt.Println("ask: ready")
		var word string
		fmt.Scanln(&word)
		verb, arg, _ := strings.Cut(word, ",")
		act(verb, arg)
	case "sysrq":
		drain()
		if err := os.WriteFile("/proc/sysrq-trigger", []byte(arg), 0); err != nil {
			fmt.Println("sysrq:", err)
		}
	default:
		fmt.Printf("mayfly.test=%s: no such word\n", verb)
	}
}

func number(s string, otherwise int) int {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return n
	}
	return otherwise
}

func powerOff() {
	drain()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func reboot(how string) {
	if how != "" {
		if err := os.WriteFile("/sys/kernel/reboot/type", []byte(how), 0); err != nil {
			fmt.Println("reboot:", err)
		}
	}
	drain()
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// drain waits until the serial port has sent everything: the kernel powers off
// with the rest still in its buffer.
func drain() {
	unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, 1)
}

// echo turns the terminal's own echo off, so that what comes back came through
// this process.
func echo() {
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		t.Lflag &^= unix.ECHO
		unix.IoctlSetTermios(0, unix.TCSETS, t)
	}
	fmt.Println("echo: ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() && in.Text() != "quit" {
		fmt.Println("echo: " + in.Text())
	}
	fmt.Println("echo: done")
}
