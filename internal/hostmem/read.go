package hostmem

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Read takes the figures from /proc and /sys below root.
func Read(root fs.FS) (Figures, error) {
	f := Figures{Group: Unlimited, Shadow: shadow(root)}
	data, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return f, err
	}
	kib, ok := field(data, "MemAvailable:")
	if !ok {
		return f, fmt.Errorf("/proc/meminfo has no MemAvailable: a host kernel of 3.14 or newer has it")
	}
	f.Available = kib << 10
	f.Group = group(root)
	const pool = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	free, promised := number(root, pool+"free_hugepages"), number(root, pool+"resv_hugepages")
	over, surplus := number(root, pool+"nr_overcommit_hugepages"), number(root, pool+"surplus_hugepages")
	f.HugePages = (free - min(promised, free) + over - min(surplus, over)) << 21
	return f, nil
}

// shadow is why KVM allocates memory for each page of a guest, "" if it does not.
func shadow(root fs.FS) string {
	has := func(name string) bool { _, err := fs.Stat(root, "sys/module/"+name); return err == nil }
	off := func(name string) bool {
		b, err := fs.ReadFile(root, "sys/module/"+name)
		return err != nil || !strings.HasPrefix(string(b), "Y") && !strings.HasPrefix(string(b), "1")
	}
	switch {
	case has("kvm_intel") && off("kvm_intel/parameters/ept"):
		return "kvm_intel shadows page tables: ept is off"
	case has("kvm_amd") && off("kvm_amd/parameters/npt"):
		return "kvm_amd shadows page tables: npt is off"
	case has("kvm_intel"), has("kvm_amd"):
		if off("kvm/parameters/tdp_mmu") {
			return "kvm keeps a record of each page: tdp_mmu is off"
		}
		return ""
	case has("kvm_pvm"):
		return "kvm_pvm shadows page tables"
	case has("kvm"):
		return "this KVM is not known to have nested paging"
	}
	return ""
}

// group is what the control group of this process and those above leave.
func group(root fs.FS) uint64 {
	data, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return Unlimited
	}
	left := uint64(Unlimited)
	for line := range strings.Lines(string(data)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		dir, limit, used := "sys/fs/cgroup", "memory.max", "memory.current"
		if f[1] != "" {
			if f[1] != "memory" {
				continue
			}
			dir, limit, used = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		}
		// In a container the path may be the host's: what isn't found limits nothing here.
		for at := path.Clean("/" + f[2]); ; at = path.Dir(at) {
			left = min(left, groupLeft(root, path.Join(dir, at), limit, used))
			if at == "/" {
				break
			}
		}
	}
	return left
}

func groupLeft(root fs.FS, dir, limit, used string) uint64 {
	b, err := fs.ReadFile(root, path.Join(dir, limit))
	if err != nil {
		return Unlimited
	}
	most, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil || most >= 1<<62 { // "max", or version 1's way to say so
		return Unlimited
	}
	taken := number(root, path.Join(dir, used))
	stat, _ := fs.ReadFile(root, path.Join(dir, "memory.stat"))
	taken -= min(cached(stat), taken)
	return most - min(taken, most)
}

// cached is the page cache in a control group's memory.stat, which the kernel gives
// up on demand: MemAvailable counts it likewise.
func cached(stat []byte) (n uint64) {
	for _, list := range []string{"inactive_file", "active_file"} {
		pages, ok := field(stat, "total_"+list) // version 1: with the groups below
		if !ok {
			pages, _ = field(stat, list)
		}
		n += pages
	}
	return n
}

// number is the number in a file, 0 if there is none.
func number(root fs.FS, name string) uint64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return n
}

// field is the number that follows a name at the start of a line.
func field(data []byte, name string) (uint64, bool) {
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) > 1 && f[0] == name {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
