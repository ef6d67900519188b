package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// currentCPU is the processor that this thread runs on.
func currentCPU() (int, error) {
	var cpu uint32
	if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return 0, errno
	}
	return int(cpu), nil
}

// flood writes numbered lines of 64 bytes (65 as they arrive, since the
// terminal adds carriage returns), so that a lost byte shows.
func flood(size int) {
	fmt.Println("flood: begin")
	w := bufio.NewWriterSize(os.Stdout, 16<<10)
	for n := range size / 64 {
		fmt.Fprintf(w, "%08d %s\n", n, strings.Repeat(string(rune('a'+n%26)), 54))
	}
	w.Flush()
	fmt.Println("flood: end")
}

// touch writes a word into each page of so much memory and reads it back.
func touch(size int) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		fmt.Println("touch:", err)
		return
	}
	const page = 4096
	for at := 0; at < size; at += page {
		binary.LittleEndian.PutUint64(b[at:], uint64(at)*0x9E3779B97F4A7C15)
	}
	for at := 0; at < size; at += page {
		if got := binary.LittleEndian.Uint64(b[at:]); got != uint64(at)*0x9E3779B97F4A7C15 {
			fmt.Printf("touch: page %d holds %#x\n", at/page, got)
			return
		}
	}
	fmt.Printf("touch: %d MiB hold what was written\n", size>>20)
}

// waitForButton reads the input device that ACPI's power button driver makes:
// struct input_event of linux/input.h, 24 bytes: time 16, type u16, code u16,
// value s32.
func waitForButton() {
	const evKey, keyPower = 1, 116
	names, _ := filepath.Glob("/sys/class/input/event*/device/name")
	for _, n := range names {
		name, err := os.ReadFile(n)
		if err != nil || strings.TrimSpace(string(name)) != "Power Button" {
			continue
		}
		dev := "/dev/input/" + filepath.Base(filepath.Dir(filepath.Dir(n)))
		f, err := os.Open(dev)
		if err != nil {
			fmt.Println("button:", err)
			return
		}
		fmt.Println("button: ready")
		var ev [24]byte
		for {
			if _, err := f.Read(ev[:]); err != nil {
				fmt.Println("button:", err)
				return
			}
			kind, code, value := binary.LittleEndian.Uint16(ev[16:]), binary.LittleEndian.Uint16(ev[18:]), binary.LittleEndian.Uint32(ev[20:])
			if kind == evKey && code == keyPower && value == 1 {
				fmt.Println("button: pressed")
				return
			}
		}
	}
	fmt.Println("button: this kernel shows no power button (it needs CONFIG_ACPI_BUTTON and CONFIG_INPUT_EVDEV)")
}
