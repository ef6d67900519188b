package monitor

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/broker"
	"github.com/mayfly-vm/mayfly/internal/confine"
	"github.com/mayfly-vm/mayfly/internal/headertest"
	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

var update = flag.Bool("update", false, "write the tables of docs/confinement.md")

const (
	document = "../../../docs/confinement.md"
	begin    = "<!-- Made by go test ./internal/confine/monitor -update -->\n"
	end      = "<!-- End of the tables -->\n"
)

// pid stands for the process's own id in a policy.
const pid = 0x1234567

// processes are the columns.
var processes = []struct {
	name   string
	policy seccomp.Policy
}{
	{"machine", processPolicy(pid)},
	{"vCPU", vcpuPolicy(pid)},
	{"broker", broker.Policy(pid)},
	{"unpack, config", confine.Converter(pid)},
	{"usernet", confine.Network(pid)},
}

// requests are names of ioctls, by the header that has them.
var requests = map[string]map[string]uint64{
	"linux/kvm.h": {
		"KVM_GET_API_VERSION": 0xae00, "KVM_CREATE_VM": 0xae01, "KVM_CHECK_EXTENSION": 0xae03, "KVM_GET_VCPU_MMAP_SIZE": 0xae04,
		"KVM_GET_SUPPORTED_CPUID": 0xc008ae05, "KVM_CREATE_VCPU": 0xae41, "KVM_SET_USER_MEMORY_REGION": 0x4020ae46,
		"KVM_SET_TSS_ADDR": 0xae47, "KVM_SET_IDENTITY_MAP_ADDR": 0x4008ae48, "KVM_SET_GSI_ROUTING": 0x4008ae6a, "KVM_IRQFD": 0x4020ae76,
		"KVM_IOEVENTFD": 0x4040ae79, "KVM_ENABLE_CAP": 0x4068aea3, "KVM_SIGNAL_MSI": 0x4020aea5, "KVM_RUN": 0xae80,
		"KVM_GET_REGS": 0x8090ae81, "KVM_SET_REGS": 0x4090ae82, "KVM_GET_SREGS": 0x8138ae83, "KVM_SET_SREGS": 0x4138ae84,
		"KVM_TRANSLATE": 0xc018ae85, "KVM_GET_MSRS": 0xc008ae88, "KVM_SET_MSRS": 0x4008ae89, "KVM_GET_LAPIC": 0x8400ae8e, "KVM_SET_LAPIC": 0x4400ae8f,
		"KVM_SET_CPUID2": 0x4008ae90, "KVM_GET_MP_STATE": 0x8004ae98, "KVM_SET_MP_STATE": 0x4004ae99, "KVM_GET_TSC_KHZ": 0xaea3,
		"KVM_KVMCLOCK_CTRL": 0xaead, "KVM_PRE_FAULT_MEMORY": 0xc040aed5,
	},
	"linux/vhost.h": {
		"VHOST_GET_FEATURES": vhostGetFeatures, "VHOST_SET_FEATURES": vhostSetFeatures, "VHOST_SET_OWNER": vhostSetOwner, "VHOST_SET_MEM_TABLE": vhostSetMemTable,
		"VHOST_SET_VRING_NUM": vhostSetVringNum, "VHOST_SET_VRING_ADDR": vhostSetVringAddr, "VHOST_SET_VRING_BASE": vhostSetVringBase,
		"VHOST_GET_VRING_BASE": vhostGetVringBase, "VHOST_SET_VRING_KICK": vhostSetVringKick, "VHOST_SET_VRING_CALL": vhostSetVringCall,
		"VHOST_SET_VRING_ERR": vhostSetVringErr, "VHOST_NET_SET_BACKEND": vhostNetSetBackend,
		"VHOST_VSOCK_SET_GUEST_CID": vhostVsockSetCID, "VHOST_VSOCK_SET_RUNNING": vhostVsockSetRunning,
	},
	"sys/ioctl.h linux/if_tun.h": {"TUNSETOFFLOAD": unix.TUNSETOFFLOAD, "TUNSETQUEUE": unix.TUNSETQUEUE, "TUNGETIFF": unix.TUNGETIFF},
	"linux/fs.h":                 {"BLKDISCARD": unix.BLKDISCARD, "BLKZEROOUT": unix.BLKZEROOUT, "BLKGETSIZE64": unix.BLKGETSIZE64},
	"sys/ioctl.h":                {"TCGETS": unix.TCGETS, "TCSETS": unix.TCSETS, "TIOCGPGRP": unix.TIOCGPGRP, "TIOCGWINSZ": unix.TIOCGWINSZ},
}

// arguments name the values of others that are checked.
var arguments = map[string]map[uint32]string{
	"fcntl":             {unix.F_GETFD: "F_GETFD", unix.F_SETFD: "F_SETFD", unix.F_GETFL: "F_GETFL", unix.F_SETFL: "F_SETFL", unix.F_DUPFD_CLOEXEC: "F_DUPFD_CLOEXEC", unix.F_OFD_SETLK: "F_OFD_SETLK", unix.F_OFD_GETLK: "F_OFD_GETLK"},
	"socket":            {unix.AF_UNIX: "AF_UNIX", unix.AF_INET: "AF_INET", unix.AF_INET6: "AF_INET6", unix.AF_NETLINK: "AF_NETLINK"},
	"prctl":             {unix.PR_SET_VMA: "PR_SET_VMA", unix.PR_SET_NO_NEW_PRIVS: "PR_SET_NO_NEW_PRIVS"},
	"tgkill":            {pid: "the process itself"},
	"clone":             {unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD | unix.CLONE_SETTLS: "a thread of the process"},
	"io_uring_register": {6: "IORING_REGISTER_FILES_UPDATE"},
	"seccomp":           {unix.SECCOMP_SET_MODE_FILTER: "SECCOMP_SET_MODE_FILTER", 0: "no flags"},
}

func TestRequestsMatchHeaders(t *testing.T) {
	for header, want := range requests {
		headertest.Compare(t, header, want)
	}
}

// The tables of docs/confinement.md are those of the policies.
func TestTables(t *testing.T) {
	want := []byte(begin + callTable() + "\n" + requestTable(t) + "\n" + argumentTable(t) + end)
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, ended := bytes.Cut(rest, []byte(end))
	if !ok || !ended {
		t.Fatalf("%s lacks %q or %q", document, begin, end)
	}
	have := text[len(before) : len(text)-len(after)]
	if bytes.Equal(have, want) {
		return
	}
	if !*update {
		t.Fatalf("the tables of %s are not those of the policies: go test ./internal/confine/monitor -update", document)
	}
	if err := os.WriteFile(document, slices.Concat(before, want, after), 0o600); err != nil {
		t.Fatal(err)
	}
}

// heading is a table's first lines.
func heading(first string) string {
	s, line := "| "+first+" |", "| --- |"
	for _, p := range processes {
		s, line = s+" "+p.name+" |", line+" --- |"
	}
	return s + "\n" + line + "\n"
}

// rulesOf are a policy's rules for a call.
func rulesOf(p *seccomp.Policy, call string) (rules []seccomp.Rule) {
	for _, r := range p.Rules {
		if seccomp.Name(r.Call) == call {
			rules = append(rules, r)
		}
	}
	return rules
}

// callTable has a row for each call that one of them may make.
func callTable() string {
	names := map[string]bool{}
	for _, p := range processes {
		for _, r := range p.policy.Rules {
			names[seccomp.Name(r.Call)] = true
		}
	}
	b := heading("System call")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		b += "| `" + name + "` |"
		for _, p := range processes {
			cell := ""
			for _, r := range rulesOf(&p.policy, name) {
				if cell != "yes" {
					cell = "yes"
					if len(r.When) != 0 {
						cell = "some"
					}
				}
			}
			b += " " + cell + " |"
		}
		b += "\n"
	}
	return b
}

// requestTable has a row for each ioctl.
func requestTable(t *testing.T) string {
	b := heading("`ioctl` request")
	seen := map[uint32]bool{}
	for _, header := range slices.Sorted(maps.Keys(requests)) {
		for _, name := range slices.Sorted(maps.Keys(requests[header])) {
			nr := uint32(requests[header][name])
			seen[nr] = true
			b += "| `" + name + "` |"
			for _, p := range processes {
				cell := ""
				if p.policy.Allows(unix.SYS_IOCTL, [6]uint64{1: uint64(nr)}) {
					cell = "yes"
				}
				b += " " + cell + " |"
			}
			b += "\n"
		}
	}
	for _, p := range processes {
		for _, r := range rulesOf(&p.policy, "ioctl") {
			for _, v := range r.When[0].Values {
				if !seen[v] {
					t.Errorf("ioctl %#x of %s has no name in this test", v, p.name)
				}
			}
		}
	}
	return b
}

// argumentTable has a row for each other call whose arguments are checked.
func argumentTable(t *testing.T) string {
	rows := map[string]map[string]bool{} // call and what is allowed, the processes
	for _, p := range processes {
		for _, r := range p.policy.Rules {
			if r.Call == unix.SYS_IOCTL || len(r.When) == 0 {
				continue
			}
			key := "`" + seccomp.Name(r.Call) + "` | " + allowed(t, r)
			if rows[key] == nil {
				rows[key] = map[string]bool{}
			}
			rows[key][p.name] = true
		}
	}
	b := "| Other arguments | allowed | in |\n| --- | --- | --- |\n"
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var in []string
		for _, p := range processes {
			if rows[key][p.name] {
				in = append(in, p.name)
			}
		}
		where := strings.Join(in, "; ")
		if len(in) == len(processes) {
			where = "all"
		}
		b += "| " + key + " | " + where + " |\n"
	}
	return b
}

// allowed describes a rule's conditions.
func allowed(t *testing.T, r seccomp.Rule) string {
	name := seccomp.Name(r.Call)
	var all []string
	for _, c := range r.When {
		if c.Mask == unix.PROT_EXEC && slices.Equal(c.Values, []uint32{0}) {
			all = append(all, "without PROT_EXEC")
			continue
		}
		var values []string
		for _, v := range c.Values {
			s, ok := arguments[name][v]
			if !ok || c.Mask != 0 {
				t.Errorf("%s: argument %d, mask %#x, value %#x has no name in this test", name, c.Arg, c.Mask, v)
			}
			values = append(values, s)
		}
		all = append(all, fmt.Sprint(strings.Join(values, ", ")))
	}
	return strings.Join(all, ", ")
}
