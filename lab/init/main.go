// Command init is the first process of the lab's nest. It lies at /init in the
// nest's initramfs, prepares the machine, loads KVM, runs one program and sends
// its output, its files and its end to the lab. See lab/internal/link.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/lab/internal/link"
)

func main() {
	fmt.Println("lab: first process of the nest")
	if err := mountAll(); err != nil {
		fail(nil, err)
	}
	spec, err := readSpec()
	if err != nil {
		fail(nil, err)
	}
	for _, m := range spec.PortModules {
		if err := loadModule(m); err != nil {
			fail(nil, err)
		}
	}
	port, err := openPort(link.Port)
	if err != nil {
		fail(nil, err)
	}
	w := link.NewWriter(port)
	go beat(w)
	go io.Copy(io.Discard, port) // what the lab sends only wakes this machine

	for _, m := range spec.Modules {
		if err := loadModule(m); err != nil {
			fail(w, err)
		}
	}
	for i, name := range spec.Disks {
		if err := linkDisk(link.DiskSerial(i), filepath.Join(spec.Dir, name)); err != nil {
			fail(w, err)
		}
	}
	if err := setTHP(spec.THP); err != nil {
		fail(w, err)
	}
	if err := loopbackUp(); err != nil {
		fmt.Println("lab: loopback interface:", err)
	}
	g := greet()
	fmt.Printf("lab: Linux %s, KVM %s API %d, huge pages %s, up after %v\n", g.Kernel, g.KVM, g.API, g.THP, g.Uptime)
	send(w, link.Hello, g)

	end := run(w, spec)
	fmt.Printf("lab: program ended with code %d after %v\n", end.Code, end.Elapsed.Round(time.Millisecond))
	finish(w, end)
}

// beat reports to the lab that this machine still runs, so that a machine that
// hangs is distinguished from a program that is silent.
func beat(w *link.Writer) {
	for range time.Tick(time.Second) {
		w.Write(link.Beat, nil)
	}
}

func readSpec() (link.Spec, error) {
	var s link.Spec
	b, err := os.ReadFile(link.SpecPath)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w", link.SpecPath, err)
	}
	return s, nil
}

func send(w *link.Writer, k link.Kind, v any) {
	b, err := json.Marshal(v)
	if err == nil {
		err = w.Write(k, b)
	}
	if err != nil {
		fmt.Println("lab: cannot speak to the lab:", err)
	}
}

// fail ends the nest since the program could not be run at all.
func fail(w *link.Writer, err error) {
	fmt.Println("lab: cannot run the program:", err)
	if w != nil {
		finish(w, link.Ending{Code: -1, Fault: err.Error()})
	}
	powerOff()
}

// finish sends the last frame. The lab ends the emulator when it has read it;
// the wait only covers the time until then.
func finish(w *link.Writer, e link.Ending) {
	send(w, link.Exit, e)
	time.Sleep(30 * time.Second)
	powerOff()
}

func powerOff() {
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
