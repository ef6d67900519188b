// Command devinit is the first process of the Linux guests in which Mayfly's
// tests exercise devices. It loads the kernel modules that it finds in /modules,
// in the order of their names, and then does what the lines that come over the
// console say (package ask): see the table of verbs.
//
// It keeps the kernel's messages off the console; the verb log has them.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
)

// args are a question's.
type args map[string]string

// values are an answer's.
type values map[string]string

var verbs map[string]func(context.Context, args) (values, error)

func init() {
	verbs = map[string]func(context.Context, args) (values, error){
		"devices": devices, "cat": cat, "write": write, "log": kernelLog, "exists": exists, "glob": glob, "scribble": scribble,
		"poweroff": powerOff, "reboot": reboot, "panic": panicNow, "sleep": sleep,
		"fill": fill, "check": check, "disk": disk, "resized": resized, "discard": discard, "zero": zero, "records": records,
		"mount": mount, "unmount": unmount, "sync": syncAll,
		"net": netSet, "netinfo": netInfo, "ping": ping, "carrier": carrier, "resolve": resolve, "flood": flood,
		"serve": serve, "dial": dial,
		"random": random, "port": port, "winsize": winsize, "hold": hold, "watchdog": watchdog, "dmi": dmi,
	}
}

func main() {
	mountAll()
	unix.Klogctl(consoleOff, nil)
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		t.Lflag &^= unix.ECHO
		unix.IoctlSetTermios(0, unix.TCSETS, t)
	}
	if err := loadModules(); err != nil {
		fmt.Println("devinit:", err)
	}
	fmt.Println("\n" + ask.Ready)
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<16)
	for in.Scan() {
		q, err := ask.ParseQuestion(in.Text())
		if err != nil {
			fmt.Println("devinit:", err)
			continue
		}
		go answer(q)
	}
	fmt.Println("devinit: the console has ended:", in.Err())
	select {}
}

var console sync.Mutex

func say(line string) {
	console.Lock()
	defer console.Unlock()
	os.Stdout.WriteString(line)
}

func answer(q ask.Question) {
	a := ask.Answer{ID: q.ID}
	do := verbs[q.Verb]
	var err error
	if do == nil {
		err = fmt.Errorf("no such verb: %s", q.Verb)
	} else {
		a.Values, err = do(context.Background(), q.Args)
	}
	if err != nil {
		a.Error = err.Error()
		if errno := unix.Errno(0); errors.As(err, &errno) {
			a.Errno = unix.ErrnoName(errno)
		}
	}
	say(a.Line())
}

// Commands of syslog(2).
const (
	readAll    = 3
	consoleOff = 6
	bufferSize = 10
)

func mountAll() {
	for _, m := range [][2]string{{"/proc", "proc"}, {"/sys", "sysfs"}, {"/dev", "devtmpfs"}, {"/tmp", "tmpfs"}} {
		os.Mkdir(m[0], 0o755)
		if err := unix.Mount(m[1], m[0], m[1], 0, ""); err != nil && err != unix.EBUSY {
			fmt.Printf("mount %s: %v\n", m[0], err)
		}
	}
}

func loadModules() error {
	files, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	sort.Strings(files)
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("load %s: %w", file, err)
		}
	}
	return nil
}
