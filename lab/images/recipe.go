package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recipe is how an image is made.
type recipe struct {
	name     string
	suite    string   // of Debian; "": that of this machine's Debian
	packages []string // in addition to Debian's essential ones and to basic
	files    map[string]string
	script   string // runs in the new root
	diskSize int64  // bytes
	duration string // for people
}

// recipes are those of all images.
var recipes = []recipe{
	{name: Debian, script: settle + clean, diskSize: 1 << 30, duration: "a minute"}, // about 400 MB of it are used
	withSuites(Debian12Suites, "bookworm", "libpython3.11-testsuite", "linux-source-6.1"),
	withSuites(Debian13Suites, "trixie", "libpython3.13-testsuite", "linux-source-6.12"),
}

// basic are packages of every image. The kernel is the one that the distribution gives its cloud machines.
var basic = []string{
	"systemd-sysv", "udev", "dbus", "kmod",
	"linux-image-cloud-amd64", "initramfs-tools", "zstd",
	"iproute2", "iputils-ping", "netbase", "systemd-resolved",
	"e2fsprogs",
}

// leftOut are files of packages that no machine here reads.
var leftOut = []string{"/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*"}

// files are written over those of the packages, in every image.
var files = map[string]string{
	"etc/hostname": "mayfly\n",
	"etc/hosts":    "127.0.0.1 localhost\n127.0.1.1 mayfly\n",
	"etc/fstab":    "LABEL=root / ext4 errors=remount-ro 0 1\n",
	// Whatever the driver calls its cards.
	"etc/systemd/network/80-dhcp.network": "[Match]\nName=en* eth*\n\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n",
	// A machine that is thrown away has nothing to keep for later.
	"etc/systemd/journald.conf.d/volatile.conf": "[Journal]\nStorage=volatile\n",
	// Nobody waits for a network that the test didn't give.
	"etc/systemd/system/systemd-networkd-wait-online.service.d/wait.conf": "[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=30\n",
}

// settle has root log in without a password, and switches off what would only run now and then on a machine
// that stays.
const settle = `set -e
passwd -d root
: >/etc/machine-id
systemctl enable systemd-networkd systemd-resolved
systemctl disable systemd-networkd-wait-online systemd-pstore e2scrub_reap
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
rm -f /initrd.img.old /vmlinuz.old
`

// clean removes what only the making needed.
const clean = `rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/*.log /var/log/apt /usr/share/doc
`

// bootstrap makes the root file system in the directory root. What it needs on
// the way lies in tmp.
func (m *maker) bootstrap(tmp, root string) error {
	suite := m.recipe.suite
	if suite == "" {
		var err error
		if suite, err = codename(); err != nil {
			return err
		}
	}
	overlay := filepath.Join(tmp, "overlay")
	defer os.RemoveAll(overlay)
	for _, set := range []map[string]string{files, m.recipe.files} {
		for name, content := range set {
			to := filepath.Join(overlay, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(to, []byte(content), 0o644); err != nil {
				return err
			}
		}
	}
	run := filepath.Join(tmp, "script")
	if err := os.WriteFile(run, []byte(m.recipe.script), 0o644); err != nil {
		return err
	}
	defer os.Remove(run)
	argv := []string{
		"mmdebstrap", "--quiet", "--mode=root", "--format=directory", "--variant=minbase",
		"--include=" + strings.Join(slices.Concat(basic, m.recipe.packages), ","),
		`--aptopt=Apt::Install-Recommends "false"`,
		"--customize-hook=copy-in " + overlay + "/etc /",
		// Where the link /etc/resolv.conf leads that a package of systemd's makes.
		`--customize-hook=mkdir -p "$1"/run/systemd/resolve && cp /etc/resolv.conf "$1"/run/systemd/resolve/stub-resolv.conf`,
		`--customize-hook=chroot "$1" sh -c "$(cat ` + run + `)"`,
		`--customize-hook=rm -r "$1"/run/systemd`,
	}
	for _, p := range leftOut {
		argv = append(argv, "--dpkgopt=path-exclude="+p)
	}
	m.Logf("making %s (%s) of Debian's packages, which takes about %s", m.recipe.name, suite, m.recipe.duration)
	return m.AsRoot(append(argv, suite, root)...)
}

// codename is the release of this machine's Debian: what its apt serves.
func codename() (string, error) {
	b, err := os.ReadFile("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("no /etc/os-release here: this needs Debian")
	}
	if err != nil {
		return "", err
	}
	name, isDebian := "", false
	for line := range strings.Lines(string(b)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch v = strings.Trim(v, `"`); k {
		case "ID":
			isDebian = v == "debian"
		case "VERSION_CODENAME":
			name = v
		}
	}
	if !isDebian || name == "" {
		return "bookworm", nil
	}
	for _, c := range name {
		if c < 'a' || c > 'z' {
			return "", fmt.Errorf("/etc/os-release: codename %q", name)
		}
	}
	return name, nil
}
