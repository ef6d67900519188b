package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// memory examines what backs guest memory.
func (h Host) memory(r *Report) {
	const thp = "sys/kernel/mm/transparent_hugepage/enabled"
	switch mode := chosen(h.read(thp)); mode {
	case "always", "madvise":
		r.add("transparent huge pages", OK, mode+": Mayfly asks for them and gets them", "")
	case "":
		r.add("transparent huge pages", Note, "this kernel has none: guests take six times the page faults", "use a host kernel with CONFIG_TRANSPARENT_HUGEPAGE")
	default:
		r.add("transparent huge pages", Note, mode+": guests take six times the page faults", "echo madvise | sudo tee /"+thp)
	}
	h.hugetlb(r)
	h.bearable(r)
	if h.read("proc/sys/vm/overcommit_memory") == "2" {
		r.add("overcommit", Note, "strict (2): all machines together get no more memory than the host commits to", "sudo sysctl vm.overcommit_memory=0")
	} else {
		r.add("overcommit", OK, "allowed", "")
	}
}

func (h Host) hugetlb(r *Report) {
	const dir = "sys/kernel/mm/hugepages/hugepages-2048kB/"
	total, err := strconv.Atoi(h.read(dir + "nr_hugepages"))
	free, _ := strconv.Atoi(h.read(dir + "free_hugepages"))
	switch {
	case err != nil:
		r.add("reserved huge pages", Note, "this kernel has no hugetlbfs: --hugepages can't be used", "use a host kernel with CONFIG_HUGETLBFS, or no --hugepages")
	case free == 0:
		r.add("reserved huge pages", Note, fmt.Sprintf("%d of 2 MiB, none free: only --hugepages needs them", total), "sudo sysctl vm.nr_hugepages=128 reserves 256 MiB")
	default:
		r.add("reserved huge pages", OK, fmt.Sprintf("%d of %d of 2 MiB free: machines with --hugepages get up to %d MiB", free, total, 2*free), "")
	}
}

// chosen returns the value in brackets of a list such as "always [madvise] never".
func chosen(list string) string {
	_, rest, _ := strings.Cut(list, "[")
	word, _, _ := strings.Cut(rest, "]")
	return word
}
