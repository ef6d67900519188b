package flags

import (
	"strconv"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/internal/option"
	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/internal/sys/tap"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	vconsole "github.com/mayfly-vm/mayfly/virtio/console"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/vnet"
	"github.com/mayfly-vm/mayfly/virtio/vsock"
)

// devices is the part of the table that binds the devices' keys to their configurations.
func (o *Run) devices() []option.Flag {
	c := &o.Config
	return []option.Flag{
		{Name: "bus", Arg: "HOW", Default: "auto", Help: "how the guest reaches its devices: by virtio-mmio, by PCI, or auto: what starts faster",
			Value: option.Choice(&c.Bus, mayfly.BusAuto, mayfly.BusMMIO, mayfly.BusPCI)},
		{Name: "disk", Arg: "PATH[,KEY=VALUE…]", Many: true, Help: "a disk: an image file or a block device", Groups: option.ManyOf(&o.Disks, diskKeys)},
		{Name: "net", Arg: "KIND[,KEY=VALUE…]", Many: true, Help: "a network card: user (a network of its own, without any privilege), tap, or another kind", Groups: option.ManyOf(&o.Nets, netKeys)},
		{Name: "vsock", Arg: "PATH[,KEY=VALUE…]", Help: "sockets between host and guest: by a Unix socket of the host, or by the host's kernel", Groups: option.OneOf(&o.Vsock, vsockKeys)},
		{Name: "console", Arg: "KEY[=VALUE…]", Many: true, Help: "a port of a virtio console: a terminal (hvc0 …) or a named one", Groups: option.ManyOf(&o.Consoles, consoleKeys)},
		{Name: "rng", Arg: "KEY=VALUE…", Optional: true, Help: "entropy from the host", Groups: option.OneOf(&o.RNG, rngKeys)},
		{Name: "watchdog", Arg: "WHAT", Default: "off", Optional: true, Help: "a watchdog timer, and what it does to a guest that is silent for too long: restart (also without a value) or exit", Value: watchdog(&c.Watchdog)},
		{Name: "smbios", Arg: "KEY=VALUE…", Help: "the identity of the machine: serial number, UUID, credentials for systemd …", Groups: option.OneOf(&c.SMBIOS, smbiosKeys)},
	}
}

// deviceConfigs are the machine's devices, in the order in which they get their places;
// ports are those of its console.
func (o *Run) deviceConfigs(ports []vconsole.Port) (list []virtio.DeviceConfig) {
	for _, d := range o.Disks {
		list = append(list, d.config())
	}
	for _, n := range o.Nets {
		list = append(list, n.config())
	}
	if o.Vsock != nil {
		list = append(list, o.Vsock.config())
	}
	if len(ports) > 0 {
		list = append(list, vconsole.Config{Ports: ports})
	}
	if o.RNG != nil {
		list = append(list, o.RNG.config())
	}
	return list
}

func diskKeys(device *Device[blk.Config]) *option.Group {
	d := &device.Config
	return &option.Group{
		Main: "path",
		Keys: append([]option.Flag{
			{Name: "path", Arg: "FILE", Required: true, Help: "the image file, or a block device", Value: existing(&d.Path)},
			{Name: "readonly", Help: "refuse writes; machines may share a disk that they only read", Value: option.Bool(&d.ReadOnly)},
			{Name: "format", Default: "auto", Help: "the image's format; auto is qcow2 where both the name and the content of the file are that, and raw else", Value: option.Choice(&d.Format, disk.Formats...)},
			{Name: "backing", Arg: "DIR", Help: "the folder that has a qcow2 image's backing files, in it or below (default: regular files of the image's own)", Value: folder(&d.Backing)},
			{Name: "cache", Default: "writeback", Help: "what a flush does: writeback writes the page cache to the disk, unsafe nothing", Value: option.Choice(&d.Cache, blk.Caches...)},
			{Name: "engine", Default: "auto", Help: "how requests wait for the host's disk; auto is uring, or threads where io_uring is missing or forbidden", Value: option.Choice(&d.Engine, blk.Engines...)},
			{Name: "direct", Help: "bypass the host's page cache (O_DIRECT)", Value: option.Bool(&d.Direct)},
			{Name: "queues", Arg: "N", Default: "1", Help: "virtqueues, 1 to " + strconv.Itoa(blk.MaxQueues) + "; at most one a CPU is of use", Value: option.Number(&d.Queues, 1, blk.MaxQueues)},
			{Name: "queue-size", Arg: "N", Default: strconv.Itoa(blk.DefaultQueueSize), Help: "requests in each, a power of two", Value: powerOfTwo(&d.QueueSize, 4, virtio.MaxQueueSize)},
			{Name: "serial", Arg: "TEXT", Help: "the serial number, up to " + strconv.Itoa(blk.MaxSerial) + " letters: /dev/disk/by-id/virtio-TEXT in the guest", Value: ascii(&d.Serial, blk.MaxSerial)},
			{Name: "discard", Default: "true", Help: "let the guest free blocks (TRIM)", Value: unless(&d.NoDiscard)},
			ringKey(&device.Ring),
		}, limitKeys("", &d.Limits)...),
		Check: func() error {
			if err := checkLimits("", &d.Limits); err != nil {
				return err
			}
			return device.check()
		},
	}
}

func netKeys(device *Device[vnet.Config]) *option.Group {
	n := &device.Config
	keys := []option.Flag{
		{Name: "kind", Default: "auto", Help: "what the card is connected to: user (mayfly-usernet, no privilege), tap (an interface of the host), passt or stream (a Unix socket), fd; auto is what the other keys need, else user",
			Value: option.Choice(&n.Kind, vnet.Kinds...)},
		{Name: "tap", Arg: "NAME", Help: "the host's interface; one that isn't there is made (default: mayfly and a number)", Value: interfaceName(&n.Tap)},
		{Name: "bridge", Arg: "NAME", Help: "make the tap a port of this bridge of the host", Value: interfaceName(&n.Bridge)},
		{Name: "fd", Arg: "N", Many: true, Help: "an open descriptor: a queue of a tap, or a stream's socket", Value: descriptors(&n.FDs)},
		{Name: "socket", Arg: "FILE", Help: "the Unix socket of passt, of a stream, or of a mayfly-usernet that runs already; @NAME is an abstract one", Value: peerSocket(&n.Socket)},
		{Name: "forward", Arg: "PORTS", Many: true, Help: "forward a port of the host to one of the guest: [udp:][ADDRESS:]HOST:GUEST, such as 8080:80", Value: forwards(&n.Forward)},
		{Name: "isolated", Help: "a user network from which nothing is reached; forward works", Value: option.Bool(&n.Isolated)},
		{Name: "host", Help: "let the guest of a user network reach the host: its 127.0.0.1 as host.mayfly.internal, and its own other addresses, which are refused otherwise", Value: option.Bool(&n.HostAccess)},
		{Name: "allow", Arg: "NETWORK", Many: true, Help: "let the guest of a user network reach this IPv4 network or address, such as 10.0.0.0/8, and others given so, and nothing else; link-local addresses are reached only with an entry of their own", Value: networks(&n.Allow)},
		{Name: "deny", Arg: "NETWORK", Many: true, Help: "keep the guest of a user network from this IPv4 network or address; it takes precedence over allow", Value: networks(&n.Deny)},
		{Name: "mac", Arg: "MAC", Help: "the card's address (default: derived from its name)", Value: mac(&n.MAC)},
		{Name: "name", Arg: "TEXT", Help: "the card's name in errors, from which its address is derived", Value: ascii(&n.Name, 64)},
		{Name: "mtu", Arg: "BYTES", Default: "1500", Help: "the largest packet; a tap keeps its own by default", Value: option.Number(&n.MTU, tap.MinMTU, vnet.MaxFrameMTU)},
		{Name: "vhost", Default: "auto", Help: "what forwards a tap's frames: the host's kernel (on), this program (off), or auto: the kernel where it can", Value: option.Choice(&n.VHost, vnet.VHosts...)},
		{Name: "queues", Arg: "N", Default: "1", Help: "pairs of virtqueues of a tap, 1 to " + strconv.Itoa(vnet.MaxQueues), Value: option.Number(&n.Queues, 1, vnet.MaxQueues)},
		{Name: "queue-size", Arg: "N", Default: strconv.Itoa(vnet.DefaultQueueSize), Help: "frames in each, a power of two", Value: powerOfTwo(&n.QueueSize, 16, virtio.MaxQueueSize)},
		ringKey(&device.Ring),
	}
	keys = append(keys, limitKeys("rx-", &n.RX)...)
	return &option.Group{
		Main: "kind",
		Keys: append(keys, limitKeys("tx-", &n.TX)...),
		Check: func() error {
			if err := checkLimits("rx-", &n.RX); err != nil {
				return err
			}
			if err := checkLimits("tx-", &n.TX); err != nil {
				return err
			}
			return device.check()
		},
	}
}

func vsockKeys(device *Device[vsock.Config]) *option.Group {
	v := &device.Config
	return &option.Group{
		Main: "path",
		Keys: []option.Flag{
			{Name: "path", Arg: "FILE", Help: "the Unix socket that is made for the host's side: connect, write CONNECT PORT; the guest's connections to port P go to FILE_P", Value: socketToMake(&v.Path)},
			{Name: "cid", Arg: "N", Default: strconv.Itoa(vsock.MinCID), Help: "the guest's address; with vhost no two machines may share one", Value: option.Number(&v.CID, vsock.MinCID, vsock.MaxCID)},
			{Name: "vhost", Help: "by the host's kernel (/dev/vhost-vsock), in place of a path; the guest then reaches every AF_VSOCK listener of the host", Value: option.Bool(&v.VHost)},
			{Name: "mode", Arg: "MODE", Default: "0600", Help: "the socket's permissions, in octal", Value: mode(&v.Mode)},
			{Name: "max-connections", Arg: "N", Default: "1023", Help: "connections at a time", Value: option.Number(&v.MaxConnections, 1, vsock.MostConnections)},
			ringKey(&device.Ring),
		},
		Check: device.check,
	}
}

// watchdog is what happens to a silent guest; the flag alone means a restart.
func watchdog(p *mayfly.Watchdog) option.Value {
	v := option.Choice(p, mayfly.NoWatchdog, mayfly.WatchdogRestart, mayfly.WatchdogExit)
	set := v.Set
	v.Set = func(s string) error {
		if s == "" {
			s = "restart"
		}
		return set(s)
	}
	return v
}

func rngKeys(device *Device[rng.Config]) *option.Group {
	r := &device.Config
	return &option.Group{
		Keys:  append([]option.Flag{ringKey(&device.Ring)}, limitKeys("", &r.Limits)...),
		Check: func() error { return checkLimits("", &r.Limits) },
	}
}
