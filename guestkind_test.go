package mayfly_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/kernel"
	"github.com/mayfly-vm/mayfly/smbios"
	"github.com/mayfly-vm/mayfly/virtio/rng"
)

// For a Linux the I/O APIC keeps its few pins, which the check guest complains of.
func TestPlatformDecidesOverPins(t *testing.T) {
	for _, c := range []struct {
		platform mayfly.Platform
		failed   []string
	}{
		{mayfly.PlatformAuto, nil},
		{mayfly.PlatformGeneric, nil},
		{mayfly.PlatformLinux, []string{"nothing lies in 0xfc000 to 0xfffff", "the I/O APIC's first pin is GSI 0", "the I/O APIC has 24 pins"}},
	} {
		cfg := guest(t, check.Options{})
		cfg.Platform = c.platform
		cfg.SMBIOS = &smbios.Config{OEM: manyStrings()} // more than fits below 0xFC000
		vm := start(t, cfg)
		vm.want(mayfly.PowerOff)
		r, err := check.Parse(strings.NewReader(vm.output.String()))
		if err != nil {
			t.Fatal(err)
		}
		var failed []string
		for _, p := range r.Failed() {
			failed = append(failed, p.Title)
		}
		if !slices.Equal(failed, c.failed) {
			t.Errorf("%v: %v failed, want %v", c.platform, r.Failed(), c.failed)
		}
	}
}

// manyStrings are 56 KB.
func manyStrings() (list []string) {
	for range 250 {
		list = append(list, strings.Repeat("s", 223))
	}
	return list
}

// By hand, --boot=linux is believed: this kernel is entered by the 64-bit protocol.
func TestLinuxProtocolByHand(t *testing.T) {
	cfg := guest(t, check.Options{})
	cfg.Boot = kernel.BootLinux
	vm := start(t, cfg)
	vm.await("Bail out! entered in 64-bit mode", 1)
	if p := vm.Plan(); p.Protocol != kernel.Linux64 || p.Platform != mayfly.PlatformGeneric {
		t.Errorf("plan %v, %v", p.Protocol, p.Platform)
	}
}

// call64 is a 64-bit kernel whose first instruction needs a stack. It finds its
// command line by boot_params in RSI, sends the first letter to COM1 and powers off.
const call64 = "e8 00 00 00 00 5b" + // call 1f; 1: pop rbx
	"81 be 02 02 00 00 48 64 72 53 75 17" + // cmp dword [rsi+0x202], "HdrS"; jne 2f
	"8b 86 28 02 00 00 8a 00" + // mov eax, [rsi+0x228]; mov al, [rax]
	"66 ba f8 03 ee 66 ba 00 06 b0 34 ee" + // mov dx, 0x3f8; out dx, al; mov dx, 0x600; mov al, 0x34; out dx, al
	"f4 eb fd f4 eb fd" // 2: hlt; jmp 2b

func TestLinuxProtocolHandsOverStackAndBootParams(t *testing.T) {
	code, err := hex.DecodeString(strings.ReplaceAll(call64, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	elf := bytes.Clone(check.ELF[:64+56]) // ELF header and PT_LOAD
	le := binary.LittleEndian
	le.PutUint64(elf[24:], 0x100000+uint64(len(elf))) // e_entry
	le.PutUint16(elf[56:], 1)                         // e_phnum
	elf = append(elf, code...)
	le.PutUint64(elf[64+32:], uint64(len(elf))) // p_filesz
	le.PutUint64(elf[64+40:], uint64(len(elf))) // p_memsz
	vm := start(t, mayfly.Config{Kernel: file(t, "call64", elf), Boot: kernel.BootLinux, Cmdline: "Z"})
	vm.want(mayfly.PowerOff)
	if vm.output.String() != "Z" {
		t.Errorf("the console shows %q", vm.output)
	}
}

// A command line that Linux would stop at without a message is refused, by both protocols.
func TestLinuxCommandLineLimit(t *testing.T) {
	cfg := guest(t, check.Options{})
	for _, c := range []struct {
		name     string
		platform mayfly.Platform
		boot     kernel.Boot
		length   int
		words    []string // of the error; none: it fits
	}{
		{"at the limit", mayfly.PlatformLinux, kernel.BootAuto, 2047, nil},
		{"beyond", mayfly.PlatformLinux, kernel.BootPVH, 2048, []string{"2048 bytes", "at most 2047", "by 1"}},
		{"beyond, 64-bit", mayfly.PlatformLinux, kernel.BootLinux, 2048, []string{"2048 bytes", "at most 2047"}},
		{"not Linux", mayfly.PlatformGeneric, kernel.BootAuto, 65535, nil},
		{"appended", mayfly.PlatformLinux, kernel.BootAuto, -2047, []string{"2083 bytes", "36 of which the machine appended"}},
		{"appended, not Linux", mayfly.PlatformGeneric, kernel.BootAuto, -65535, []string{"65571 bytes", "at most 65535"}},
	} {
		cfg.Platform, cfg.Boot, cfg.Devices = c.platform, c.boot, nil
		if cfg.Cmdline = strings.Repeat("x", max(c.length, 0)); c.length < 0 {
			cfg.Devices = []mayfly.DeviceConfig{rng.Config{}}
			cfg.Cmdline = "acpi=off " + strings.Repeat("x", -c.length-len("acpi=off "))
		}
		_, err := mayfly.NewPlan(cfg)
		var bad *mayfly.ConfigError
		if len(c.words) == 0 {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.As(err, &bad) || bad.Field != "Cmdline" {
			t.Errorf("%s: %v, want an error about Cmdline", c.name, err)
			continue
		}
		for _, w := range c.words {
			if !strings.Contains(bad.Msg, w) {
				t.Errorf("%s: %q lacks %q", c.name, bad.Msg, w)
			}
		}
	}
}

// What the machine appends is the kernel's, and not an argument of init.
func TestAppendedParametersStandBeforeTheSeparator(t *testing.T) {
	cfg := guest(t, check.Options{})
	cfg.Devices = []mayfly.DeviceConfig{rng.Config{}}
	for line, want := range map[string]string{
		"acpi=off init=/bin/cat -- /etc/hostname": "acpi=off init=/bin/cat virtio_mmio.device=512@0xfeb00000:5 -- /etc/hostname",
		"init=/bin/cat -- acpi=off":               "init=/bin/cat -- acpi=off",
	} {
		cfg.Cmdline = line
		p, err := mayfly.NewPlan(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if p.Cmdline != want {
			t.Errorf("%q became %q, want %q", line, p.Cmdline, want)
		}
	}
}
