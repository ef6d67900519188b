package check_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/mayfly-vm/mayfly/guest/check"
)

// Where the spoiler is loaded, and the table of segment descriptors after it.
const (
	spoilerAddr = 0x200000
	spoilerGDT  = spoilerAddr + 0x100
)

// spoiled returns the check guest with other code in front of its entry, which spoils what the monitor handed over.
// The file gets a second PT_LOAD with that code, and a note and an ELF header that enter there.
func spoiled(t *testing.T, code string) []byte {
	t.Helper()
	le := binary.LittleEndian
	entry := le.Uint32(check.ELF[24:])
	text, err := hex.DecodeString(strings.ReplaceAll(code, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, 0xb8) // mov $entry,%eax; jmp *%eax
	text = le.AppendUint32(text, entry)
	text = append(text, 0xff, 0xe0)
	text = append(text, make([]byte, spoilerGDT-spoilerAddr-len(text))...)
	for _, quad := range []uint64{
		0x0000_0027_0000_0000 | spoilerGDT<<16&0xffff0000 | 0x27, // 0: never used by a selector, so lgdt's operand: limit, base
		0x00c0_9300_0000_0fff,         // 0x08: data, limit 16 MiB
		0x00cf_9100_0000_ffff,         // 0x10: data, read only
		0x00c0_9b00_0000_0fff | 1<<54, // 0x18: code, limit 16 MiB
		0x00cf_9301_0000_ffff,         // 0x20: data, base 64 KiB
	} {
		text = le.AppendUint64(text, quad)
	}
	le.PutUint32(text[spoilerGDT-spoilerAddr+2:], spoilerGDT)

	file := append(bytes.Clone(check.ELF), make([]byte, -len(check.ELF)&0xfff)...)
	textOff := len(file)
	file = append(file, text...)
	phdrs := len(file)
	file = append(file, check.ELF[64:64+2*56]...) // PT_LOAD and PT_NOTE as they are
	for _, v := range []uint64{1 | 7<<32, uint64(textOff), spoilerAddr, spoilerAddr, uint64(len(text)), uint64(len(text)), 0x1000} {
		file = le.AppendUint64(file, v)
	}
	le.PutUint64(file[24:], spoilerAddr)   // e_entry
	le.PutUint64(file[32:], uint64(phdrs)) // e_phoff
	le.PutUint16(file[56:], 3)             // e_phnum
	note := le.Uint64(file[64+56+8:])
	le.PutUint64(file[note+16:], spoilerAddr)
	return file
}

// One fault of a monitor in each row, made inside the guest before the check guest's own entry, with ebx at start
// info; the point must find it.
func TestSpoiledStateIsFound(t *testing.T) {
	const (
		lgdt    = "0f 01 15 00 01 20 00 " // lgdt spoilerGDT
		fixMap  = "ff 4b 30 "             // decl 48(%ebx): QEMU's count of entries is one too high
		toMap   = fixMap + "8b 43 28 "    // mov memmap,%eax
		rsdp    = "8b 43 20 "             // mov rsdp,%eax
		xsdt    = rsdp + "8b 40 18 "      // mov 24(%eax),%eax
		fadt    = xsdt + "8b 40 24 "      // mov 36(%eax),%eax: the first table of QEMU's
		madt    = xsdt + "8b 40 2c "      // mov 44(%eax),%eax: the second
		oneByte = "fe 40 0a "             // incb 10(%eax): in the OEM id of a table
	)
	// TCG checks no segment's limit and rights, any KVM does.
	needsKVM := map[string]bool{"cs limit": true, "ds limit": true, "es limit": true, "es read only": true, "ss limit": true}
	tests := []struct{ fault, code, title string }{
		{"ebx odd", "43", "ebx holds an aligned address"},
		{"cr0.WP", "0f 20 c0 0d 00 00 01 00 0f 22 c0", "cr0 has PE and nothing else"},
		{"cr4.PSE", "b8 10 00 00 00 0f 22 e0", "cr4 is 0"},
		{"eflags.IF", "fb", "eflags has VM, IF and TF clear"},
		{"cs limit", lgdt + "ea 0e 00 20 00 18 00", "cs is flat: base 0, limit 4 GiB"},
		{"ds limit", lgdt + "b8 08 00 00 00 8e d8", "ds is flat and writable"},
		{"es limit", lgdt + "b8 08 00 00 00 8e c0", "es is flat and writable"},
		{"es read only", lgdt + "b8 10 00 00 00 8e c0", "es is flat and writable"},
		{"es base", lgdt + "b8 20 00 00 00 8e c0", "es is flat and writable"},
		{"ss limit", lgdt + "b8 08 00 00 00 8e d0", "ss is flat and writable"},
		{"bss dirty", "", "memory behind the segment's file bytes is zero"},
		{"image used", "ff 05 c8 00 10 00", "the image is as in the file, not left from an earlier run"},
		{"magic", "c7 03 00 00 00 00", "start info: magic"},
		{"version 0", "c7 43 04 00 00 00 00", "start info: version"},
		{"flags", "c7 43 08 01 00 00 00", "start info: flags are 0"},
		{"reserved", "c7 43 34 01 00 00 00", "start info: the reserved field is 0"},
		{"127 entries", "c7 43 30 7f 00 00 00", "memory map: 1 to 126 entries"},
		{"no entries", "c7 43 30 00 00 00 00", "memory map: 1 to 126 entries"},
		{"map overlaps", toMap + "c7 40 08 00 00 10 00", "memory map: sorted, no two entries overlap"},
		{"map type 9", toMap + "c7 40 10 09 00 00 00", "memory map: sizes, types and reserved fields are sound"},
		{"map reserved", toMap + "c7 40 14 01 00 00 00", "memory map: sizes, types and reserved fields are sound"},
		{"map empty entry", toMap + "c7 40 08 00 00 00 00", "memory map: sizes, types and reserved fields are sound"},
		{"RAM that isn't there", toMap + "c7 40 68 00 00 f0 08", "RAM below 4 GiB holds what is written at its edges"},
		{"RAM missing", toMap + "c7 40 68 00 00 f0 06", "RAM is as much as the monitor was asked for"},
		{"image not in RAM", toMap + "c7 40 70 02 00 00 00", "this image lies in RAM"},
		{"APIC in RAM", toMap + "c7 40 18 00 00 c0 fe c7 40 28 01 00 00 00", "the APICs' windows are not RAM"},
		{"modules without list", "c7 43 0c 01 00 00 00", "module list: there when there are modules, and only then"},
		{"list without modules", "c7 43 10 00 00 10 00", "module list: there when there are modules, and only then"},
		{"module over the image", "c7 43 0c 01 00 00 00 c7 43 10 00 02 20 00", "modules have a size, lie in RAM and beside this image"},
		{"no command line", "c7 43 18 00 00 00 00", "the command line arrives byte for byte"},
		{"no RSDP", "c7 43 20 00 00 00 00", "start info names the RSDP"},
		{"RSDP sum", rsdp + "fe 40 09", "RSDP: revision 2, checksums"},
		{"XSDT sum", xsdt + oneByte, "XSDT: checksum"},
		{"FADT sum", fadt + oneByte, "FADT: checksum"},
		{"DSDT sum", fadt + "8b 40 28 " + oneByte, "DSDT: checksum"},
		{"MADT sum", madt + oneByte, "MADT: checksum"},
		{"MADT foreign id", madt + "80 40 2f 07 80 68 09 07", "the local APIC is on and its id is in the MADT"},
		{"processor that isn't there", madt + "80 40 37 07 80 68 09 07", "secondary processors start by INIT and SIPI"},
		{"I/O APIC elsewhere", madt + "80 40 42 10 80 68 09 10", "COM1 interrupts through the I/O APIC when a byte is sent"},
		{"ACPI in RAM", toMap + "c7 40 40 01 00 00 00", "ACPI tables lie outside RAM that the guest may use"},
		{"no stack", "31 e4", "esp is the top of 1 KiB of free RAM below 640 KiB"},
		{"stack in start info", "89 dc 83 c4 20", "esp is the top of 1 KiB of free RAM below 640 KiB"},
		{"GSI base 1", madt + "80 40 44 01 80 68 09 01", "the I/O APIC's first pin is GSI 0"},
		{"local APIC off", "b9 1b 00 00 00 0f 32 80 e4 f7 0f 30", "the local APIC is on and its id is in the MADT"},
	}
	cmdline := check.Cmdline(check.Options{Memory: 128 << 20, CPUs: 2})
	sound := report(t, "tcg", spoiled(t, fixMap), cmdline)
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			if fails(sound, tt.title) {
				t.Fatal("the point fails without the fault too")
			}
			accel := "tcg"
			if needsKVM[tt.fault] {
				f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
				if err != nil {
					t.Skipf("needs KVM: %v", err)
				}
				f.Close()
				accel = "kvm"
			}
			guest := spoiled(t, tt.code)
			if tt.fault == "bss dirty" {
				// One byte more in the file, as if the monitor had copied too much.
				binary.LittleEndian.PutUint64(guest[len(guest)-3*56+32:], uint64(len(check.ELF))+0x40)
				guest[len(check.ELF)+0x30] = 1
			}
			if r := report(t, accel, guest, cmdline); !fails(r, tt.title) {
				t.Errorf("the point did not fail; these did: %v", r.Failed())
			}
		})
	}
}

// report runs the guest until it is done: with its tables spoiled it may not find the way to power off.
func report(t *testing.T, accel string, guest []byte, cmdline string) check.Report {
	t.Helper()
	var log bytes.Buffer
	cmd := qemuCommand(t, accel, guest, cmdline, "-m", "128", "-smp", "2")
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r, err := check.Parse(out)
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil {
		t.Fatalf("%v\n%v\n%s", err, r.Points, log.Bytes())
	}
	return r
}
