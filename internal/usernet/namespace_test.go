package usernet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const inNamespaceEnv = "MAYFLY_TEST_IN_NAMESPACE"

// inNamespace runs the test in a network and mount namespace of its own, with its
// loopback interface up, another interface with 198.51.100.1/24, and this host as its
// resolver. It reports whether this is the process there.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespaceEnv) != "" {
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no program ip to set up a network namespace with")
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\nsearch example.org\noptions timeout:2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// What is sent to the other interface is lost.
	script := `set -e
ip link set lo up
ip link add dummy0 type dummy 2>/dev/null || { ip link add dummy0 type veth peer name dummy1 && ip link set dummy1 up; }
ip addr add 198.51.100.1/24 dev dummy0
ip link set dummy0 up
ip route add default dev dummy0
mount --bind "$CONF" /etc/resolv.conf
exec "$@"`
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/bin/sh", "-c", script, "sh", self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	c.Env = append(os.Environ(), inNamespaceEnv+"=1", "CONF="+conf)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	text := string(out)
	switch {
	case err != nil && !strings.Contains(text, t.Name()):
		t.Skipf("no namespace: %v: %s", err, text)
	case err != nil:
		t.Errorf("%v\n%s", err, text)
	default:
		t.Log(text)
	}
	return false
}

// ip runs the program ip.
func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
