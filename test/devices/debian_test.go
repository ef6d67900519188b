package devices

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/devinit/ask"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/internal/usernet"
	"github.com/mayfly-vm/mayfly/smbios"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
)

// startup is how long a whole distribution may take to its login prompt, where
// each instruction is emulated.
var startup = 4 * time.Minute

// shell is root's shell on a guest's console.
type shell struct {
	*guest
	shell machinetest.Shell
}

// login waits for the prompt and logs in.
func login(g *guest) *shell {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), startup)
	defer cancel()
	s := &shell{guest: g, shell: machinetest.Shell{Out: g.out, Keys: g.keys}}
	if err := s.shell.Login(ctx); err != nil {
		g.t.Fatalf("%v\n%s\n%s", err, g.out.Tail(), g.reported)
	}
	return s
}

func (s *shell) types(text string) {
	s.t.Helper()
	if err := s.shell.Type(text); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command and returns what it printed; it must succeed.
func (s *shell) run(command string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), startup)
	defer cancel()
	out, err := s.shell.Run(ctx, command)
	if err != nil {
		s.t.Fatalf("%v\n%s\n%s", err, s.out.Tail(), s.reported)
	}
	return out
}

// TestDebian boots a Debian from its own disk, with its own kernel and initramfs,
// to a login; it gets an address, resolves a name, reads a credential and moves data
// both ways; it restarts and powers off, and its file system is clean after each.
func TestDebian(t *testing.T) {
	file := ask.Pattern(9, 0, 4*mib)
	left := false // the file, by the machine before
	for i, v := range []variant{{diskKernel, mayfly.BusMMIO, false, 2}, {diskKernel, mayfly.BusPCI, true, 1}} {
		t.Run(v.String(), func(t *testing.T) {
			disk := blk.Config{Path: diskImage, Serial: "system"}
			card := vnet.Config{Kind: vnet.User, HostAccess: true}
			credential, err := smbios.Credential("mayfly.word", "from outside")
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			g := launch(t, v, mayfly.Config{
				Kernel: diskKernel, Initrd: []string{diskInitrd}, Memory: 512 * mib, CacheDir: t.TempDir(),
				Devices: []mayfly.DeviceConfig{disk, card, rng.Config{}},
				Cmdline: cmdline(v.bus, "root=/dev/vda", "ro", "systemd.show_status=no"),
				SMBIOS:  &smbios.Config{Serial: "M-1", OEM: []string{credential}},
			}, spawned)
			s := login(g)
			t.Logf("%v to the login", time.Since(begin).Round(time.Second/10))
			if got := strings.TrimSpace(s.run("systemctl is-system-running --wait || systemctl --failed --no-legend | cat; true")); got != "running" {
				t.Errorf("the system is %s", got)
			}
			if left {
				if got := s.run("sha256sum /root/file"); !strings.Contains(got, sum(9, 0, len(file))) {
					t.Errorf("the file has %s", got)
				}
			}
			s.run("for i in $(seq 150); do ip -4 -o addr | grep -q ' " + usernet.Guest + "/' && break; sleep .2; done; ip -4 -o addr | grep ' " + usernet.Guest + "/'")
			if got := s.run("getent ahostsv4 " + usernet.HostName); !strings.Contains(got, usernet.Host) {
				t.Errorf("%s is %q", usernet.HostName, got)
			}
			if got := s.run("cat /run/credentials/@system/mayfly.word; echo; cat /sys/class/dmi/id/product_serial"); got != "from outside\nM-1\n" {
				t.Errorf("credential and serial number are %q", got)
			}
			fetch(t, s, file, "/root/file")
			left = true
			s.run("sync")
			g.out.Forget()
			if i == 0 {
				s.types("systemctl reboot\n")
				s = login(g)
				if got := s.run("sha256sum /root/file"); !strings.Contains(got, sum(9, 0, len(file))) {
					t.Errorf("after the restart the file has %s", got)
				}
				if got := s.run("dmesg | grep -i -E 'recover|ext4.*error' || true"); strings.TrimSpace(got) != "" {
					t.Errorf("the file system was not left well: %s", got)
				}
				s.types("systemctl poweroff\n")
			} else if err := g.vm.PowerButton(); err != nil {
				t.Fatal(err)
			}
			g.ends(mayfly.PowerOff)
			g.silent()
			clean(t, diskImage)
		})
	}
}

// fetch lets the guest read a file from us, and send it back.
func fetch(t testing.TB, s *shell, file []byte, name string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	back := make(chan []byte, 1)
	go func() {
		for i := range 2 {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if i == 0 {
				c.Write(file)
			} else {
				b, _ := io.ReadAll(c)
				back <- b
			}
			c.Close()
		}
	}()
	at := "/dev/tcp/" + usernet.HostName + "/" + port
	if got := s.run("cat <" + at + " >" + name + " && sha256sum " + name); !strings.Contains(got, sum(9, 0, len(file))) {
		t.Errorf("what the guest fetched has %s", got)
	}
	s.run("cat " + name + " >" + at)
	select {
	case b := <-back:
		if string(b) != string(file) {
			t.Errorf("%d bytes came back, and differ", len(b))
		}
	case <-time.After(patience):
		t.Error("nothing came back")
	}
}
