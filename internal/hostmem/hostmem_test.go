package hostmem

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	mib = uint64(1) << 20
	gib = uint64(1) << 30
	tib = uint64(1) << 40
)

func TestCheck(t *testing.T) {
	pvm := Figures{Available: 20 * gib, Group: Unlimited, Shadow: "kvm_pvm shadows page tables"}
	tdp := Figures{Available: 20 * gib, Group: Unlimited, HugePages: 4 * gib}
	caged := Figures{Available: 20 * gib, Group: 2 * gib}
	for name, c := range map[string]struct {
		host  Figures
		m     Machine
		wants []string // in the message; none: it is allowed
	}{
		"16 TiB, shadowed":                 {pvm, Machine{Memory: 16 * tib}, []string{"16 TiB", "40 GiB for KVM", "kvm_pvm", "20 GiB are available", "slots may take 5120 MiB"}},
		"16 TiB, in software":              {pvm, Machine{Memory: 16 * tib, Software: true}, nil},
		"prealloc in software":             {pvm, Machine{Memory: 19 * gib, Software: true, Prealloc: true}, []string{"20 GiB are available", "19 GiB: all of it is taken before the start, but"}},
		"3 TiB, shadowed":                  {pvm, Machine{Memory: 3 * tib}, []string{"7686 MiB for KVM"}},
		"3 TiB, shadowed, with a reserve":  {pvm, Machine{Memory: 3 * tib, Reserve: gib}, nil},
		"8 TiB, shadowed, with a reserve":  {pvm, Machine{Memory: 8 * tib, Reserve: gib}, []string{"20 GiB for KVM", "1024 MiB stay in reserve"}},
		"1 TiB, shadowed":                  {pvm, Machine{Memory: tib}, nil},
		"16 TiB, not touched, with TDP":    {tdp, Machine{Memory: 16 * tib}, nil},
		"16 TiB, nested, with TDP":         {tdp, Machine{Memory: 16 * tib, Nested: true}, []string{"guests of its own"}},
		"64 GiB, not touched":              {caged, Machine{Memory: 64 * gib}, nil},
		"prealloc of what there is":        {tdp, Machine{Memory: 20 * gib, Prealloc: true}, []string{"20 GiB", "taken before the start"}},
		"prealloc that leaves the reserve": {tdp, Machine{Memory: 18 * gib, Prealloc: true}, nil},
		"prealloc with a smaller reserve":  {tdp, Machine{Memory: 19*gib + 512*mib, Prealloc: true, Reserve: 64 * mib}, nil},
		"prealloc with a larger reserve":   {tdp, Machine{Memory: 10 * gib, Prealloc: true, Reserve: 15 * gib}, []string{"15 GiB stay in reserve"}},
		"prealloc in a small group":        {caged, Machine{Memory: 2 * gib, Prealloc: true}, []string{"left in the control group"}},
		"prealloc of far too much":         {tdp, Machine{Memory: 16 * tib, Prealloc: true}, []string{"16 TiB"}},
		"a reserve beyond all":             {tdp, Machine{Memory: gib, Prealloc: true, Reserve: tib}, []string{"20 GiB stay in reserve"}},
		"huge pages of the pool":           {tdp, Machine{Memory: 4 * gib, HugePages: true, Prealloc: true}, nil},
		"huge pages beyond it":             {tdp, Machine{Memory: 4*gib + 4096, HugePages: true}, []string{"4098 MiB of huge pages", "4096 MiB free"}},
		"a small machine on an empty host": {Figures{Available: 8 * mib, Group: Unlimited, Shadow: "x"}, Machine{Memory: 256 * mib, Prealloc: true}, []string{"8192 KiB are available"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.host.Check(c.m)
			if (got != "") != (len(c.wants) > 0) {
				t.Errorf("message %q", got)
			}
			for _, w := range c.wants {
				if !strings.Contains(got, w) {
					t.Errorf("%q lacks %q", got, w)
				}
			}
			if got != "" && !c.m.Matters() {
				t.Error("it would not have been checked")
			}
		})
	}
}

func TestMostIsJustAllowed(t *testing.T) {
	for _, f := range []Figures{{Available: 20 * gib, Group: Unlimited, Shadow: "x"}, {Available: 20 * gib, Group: 3 * gib}} {
		for _, prealloc := range []bool{false, true} {
			most := f.Most(prealloc)
			if why := f.Check(Machine{Memory: most - most>>10, Prealloc: prealloc}); why != "" {
				t.Errorf("%+v, prealloc %v: %d is said to be allowed: %s", f, prealloc, most, why)
			}
			if f.Check(Machine{Memory: most + most>>8, Prealloc: prealloc}) == "" {
				t.Errorf("%+v, prealloc %v: more than %d is allowed", f, prealloc, most)
			}
		}
	}
}

func TestRead(t *testing.T) {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	const pool = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	base := map[string]string{"proc/meminfo": "MemTotal: 100 kB\nMemAvailable:   2048 kB\n"}
	for name, c := range map[string]struct {
		files map[string]string
		want  Figures
	}{
		"nothing else": {nil, Figures{Available: 2 * mib, Group: Unlimited}},
		"pvm":          {map[string]string{"sys/module/kvm_pvm/x": ""}, Figures{Available: 2 * mib, Group: Unlimited, Shadow: "kvm_pvm shadows page tables"}},
		"unknown":      {map[string]string{"sys/module/kvm/x": ""}, Figures{Available: 2 * mib, Group: Unlimited, Shadow: "this KVM is not known to have nested paging"}},
		"intel": {map[string]string{"sys/module/kvm_intel/parameters/ept": "Y\n", "sys/module/kvm/parameters/tdp_mmu": "Y\n"},
			Figures{Available: 2 * mib, Group: Unlimited}},
		"amd without npt": {map[string]string{"sys/module/kvm_amd/parameters/npt": "0\n", "sys/module/kvm/parameters/tdp_mmu": "Y\n"},
			Figures{Available: 2 * mib, Group: Unlimited, Shadow: "kvm_amd shadows page tables: npt is off"}},
		"an old kernel": {map[string]string{"sys/module/kvm_amd/parameters/npt": "1\n"},
			Figures{Available: 2 * mib, Group: Unlimited, Shadow: "kvm keeps a record of each page: tdp_mmu is off"}},
		"group": {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "1000000\n",
			"sys/fs/cgroup/a/memory.current": "400000\n", "sys/fs/cgroup/a/memory.stat": "anon 1\ninactive_file 100000\nactive_file 200000\n"}, Figures{Available: 2 * mib, Group: 900000}},
		"group, version 1": {map[string]string{"proc/self/cgroup": "5:cpu:/\n4:memory:/../x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/x/memory.usage_in_bytes": "5000\n",
			"sys/fs/cgroup/memory/x/memory.stat":           "inactive_file 0\nactive_file 1\ntotal_inactive_file 4000\ntotal_active_file 100\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, Figures{Available: 2 * mib, Group: 100}},
		"pool": {map[string]string{pool + "free_hugepages": "10\n", pool + "resv_hugepages": "3\n", pool + "nr_overcommit_hugepages": "5\n", pool + "surplus_hugepages": "1\n"},
			Figures{Available: 2 * mib, Group: Unlimited, HugePages: 11 << 21}},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for _, files := range []map[string]string{base, c.files} {
				for n, s := range files {
					root[n] = file(s)
				}
			}
			if got, err := Read(root); err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	for _, root := range []fs.FS{fstest.MapFS{}, fstest.MapFS{"proc/meminfo": file("MemFree: 1 kB\n")}} {
		if _, err := Read(root); err == nil {
			t.Error("a host without figures")
		}
	}
}
