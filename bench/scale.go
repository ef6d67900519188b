package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mayfly-vm/mayfly/bench/monitor"
	"github.com/mayfly-vm/mayfly/guest/tiny"
)

// scale shows what a start costs as one thing grows.
func (b *bench) scale() error {
	small, err := b.tinyGuest()
	if err != nil {
		return err
	}
	initrd := filepath.Join(b.dir, "initrd")
	if err := os.WriteFile(initrd, make([]byte, 100<<20), 0o600); err != nil {
		return err
	}
	var mayfly monitor.Monitor
	for _, m := range monitor.All(b.paths) {
		if m.Name == "mayfly" {
			mayfly = m
		}
	}
	base := monitor.Machine{Kernel: small, Cmdline: "console=ttyS0", MiB: 256, CPUs: 1}
	var list []*contender
	groups := map[*contender]string{}
	add := func(group, name string, change func(*monitor.Machine)) {
		vm := base
		change(&vm)
		c := &contender{name: name, m: mayfly, vm: vm}
		list, groups[c] = append(list, c), group
	}
	add("initrd", "none", func(*monitor.Machine) {})
	add("initrd", "100 MB", func(m *monitor.Machine) { m.Initrd = initrd })
	add("memory", "128 MiB", func(m *monitor.Machine) { m.MiB = 128 })
	add("memory", "16 GiB", func(m *monitor.Machine) { m.MiB = 16 << 10 })
	for _, n := range []int{1, 4, 16} {
		add("vCPUs", fmt.Sprint(n), func(m *monitor.Machine) { m.CPUs = n })
	}
	for _, n := range []int{1, 50, 200} {
		k := filepath.Join(b.dir, fmt.Sprintf("kernel%d", n))
		if err := padded(k, n<<20); err != nil {
			return err
		}
		add("kernel size, --load=map", fmt.Sprintf("%d MB", n), func(m *monitor.Machine) { m.Kernel, m.Load, m.MiB = k, "map", 512 })
	}
	wrapped, plain, err := b.wrappedKernel()
	if err != nil {
		return err
	}
	add("Debian kernel", "vmlinux", func(m *monitor.Machine) { m.Kernel = plain })
	add("Debian kernel", "compressed, from the second start on", func(m *monitor.Machine) { m.Kernel = wrapped })
	b.race(list)
	t := &table{title: "What a start costs as one thing grows (mayfly, to first guest output)"}
	t.add("", "", "median", "x the first")
	var group string
	var first *contender
	for _, c := range list {
		name := groups[c]
		if name != group {
			group, first = name, c
		} else {
			name = ""
		}
		t.add(name, c.name, c.figure(), ratio(median(c.took), median(first.took)))
	}
	t.print()
	return nil
}

// padded writes a kernel of n bytes: the tiny guest's code with a segment of
// that size.
func padded(path string, n int) error {
	const page, base = 4096, 0x1000000
	code := tiny.Code()
	img := make([]byte, page+n)
	le := binary.LittleEndian
	copy(img, "\x7fELF\x02\x01\x01")
	le.PutUint16(img[16:], 2)
	le.PutUint16(img[18:], 62)
	le.PutUint32(img[20:], 1)
	le.PutUint64(img[24:], base)
	le.PutUint64(img[32:], 64)
	le.PutUint16(img[52:], 64)
	le.PutUint16(img[54:], 56)
	le.PutUint16(img[56:], 2)
	phdr := func(at int, typ, flags uint32, off, addr, size, align uint64) {
		le.PutUint32(img[at:], typ)
		le.PutUint32(img[at+4:], flags)
		for i, v := range []uint64{off, addr, addr, size, size, align} {
			le.PutUint64(img[at+8+8*i:], v)
		}
	}
	phdr(64, 1, 5, page, base, uint64(n), page)
	phdr(120, 4, 4, 512, 0, 24, 4)
	le.PutUint32(img[512:], 4)
	le.PutUint32(img[516:], 8)
	le.PutUint32(img[520:], 18)
	copy(img[524:], "Xen\x00")
	le.PutUint64(img[528:], base)
	copy(img[page:], code)
	return os.WriteFile(path, img, 0o600)
}
