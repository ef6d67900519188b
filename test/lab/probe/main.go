// Command probe is the program that the lab's own tests run in the lab. It
// does what its arguments say, one after the other.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	for _, a := range os.Args[1:] {
		verb, rest, _ := strings.Cut(a, ":")
		if err := do(verb, rest); err != nil {
			fmt.Fprintf(os.Stderr, "probe: %s: %v\n", a, err)
			os.Exit(1)
		}
	}
}

func do(verb, arg string) error {
	switch verb {
	case "kvm":
		return kvm()
	case "cat":
		b, err := os.ReadFile(arg)
		os.Stdout.Write(b)
		return err
	case "copy":
		from, to, _ := strings.Cut(arg, ":")
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	case "env":
		fmt.Printf("%s=%s\n", arg, os.Getenv(arg))
	case "stderr":
		fmt.Fprintln(os.Stderr, arg)
	case "hang":
		hang()
	case "panic-kernel":
		return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
	case "exit":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		os.Exit(n)
	default:
		return fmt.Errorf("no such verb")
	}
	return nil
}

func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

// kvm makes a machine with one processor, which a /dev/kvm without hardware
// after it refuses.
func kvm() error {
	const ( // linux/kvm.h
		getAPIVersion = 0xAE00
		createVM      = 0xAE01
		createVCPU    = 0xAE41
	)
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	v, err := unix.IoctlRetInt(int(f.Fd()), getAPIVersion)
	if err != nil {
		return err
	}
	vm, err := unix.IoctlRetInt(int(f.Fd()), createVM)
	if err != nil {
		return err
	}
	if _, err := unix.IoctlRetInt(vm, createVCPU); err != nil {
		return err
	}
	fmt.Printf("KVM API %d, a machine and a processor made\n", v)
	return nil
}
