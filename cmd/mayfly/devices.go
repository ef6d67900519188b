package main

import (
	"strconv"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/cmd/mayfly/internal/option"
	"github.com/mayfly-vm/mayfly/disk"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
)

// devices is the part of the table that binds the devices' keys to their configurations.
func (o *runOptions) devices() []option.Flag {
	c := &o.cfg
	return []option.Flag{
		{Name: "bus", Arg: "HOW", Default: "auto", Help: "how the guest reaches its devices: by virtio-mmio, by PCI, or auto: what starts faster",
			Value: option.Choice(&c.Bus, name("auto", mayfly.BusAuto), name("mmio", mayfly.BusMMIO), name("pci", mayfly.BusPCI))},
		{Name: "disk", Arg: "PATH[,KEY=VALUE…]", Many: true, Help: "a disk: an image file or a block device", Groups: option.ManyOf(&c.Disks, diskKeys)},
	}
}

func diskKeys(d *mayfly.Disk) *option.Group {
	return &option.Group{
		Main: "path",
		Keys: append([]option.Flag{
			{Name: "path", Arg: "FILE", Required: true, Help: "the image file, or a block device", Value: existing(&d.Path)},
			{Name: "readonly", Help: "refuse writes; machines may share a disk that they only read", Value: option.Bool(&d.ReadOnly)},
			{Name: "format", Default: "auto", Help: "the image's format; auto takes a file for raw unless both its name and its content say qcow2", Value: option.Choice(&d.Format, name("auto", disk.Auto), name("raw", disk.Raw), name("qcow2", disk.QCOW2))},
			{Name: "cache", Default: "writeback", Help: "what a flush does: put what was written on the disk, or, unsafe, nothing", Value: option.Choice(&d.Cache, name("writeback", blk.Writeback), name("unsafe", blk.Unsafe))},
			{Name: "engine", Default: "auto", Help: "who waits for the host's disk; auto is uring, or threads where io_uring is missing or forbidden", Value: option.Choice(&d.Engine, name("auto", blk.AutoEngine), name("uring", blk.IOUring), name("threads", blk.Threads))},
			{Name: "direct", Help: "go past the host's page cache (O_DIRECT)", Value: option.Bool(&d.Direct)},
			{Name: "queues", Arg: "N", Default: "1", Help: "virtqueues, 1 to " + strconv.Itoa(blk.MaxQueues) + "; at most one a CPU is of use", Value: option.Number(&d.Queues, 1, blk.MaxQueues)},
			{Name: "queue-size", Arg: "N", Default: strconv.Itoa(blk.DefaultQueueSize), Help: "requests in each, a power of two", Value: powerOfTwo(&d.QueueSize, 4, virtio.MaxQueueSize)},
			{Name: "serial", Arg: "TEXT", Help: "the serial number, up to " + strconv.Itoa(blk.MaxSerial) + " letters: /dev/disk/by-id/virtio-TEXT in the guest", Value: ascii(&d.Serial, blk.MaxSerial)},
			{Name: "discard", Default: "true", Help: "let the guest give space back; discard=false keeps it", Value: unless(&d.NoDiscard)},
			ringKey(&d.Packed),
		}, limitKeys("", &d.Limits)...),
		Check: func() error { return checkLimits("", &d.Limits) },
	}
}

func name[T any](s string, v T) option.Name[T] { return option.Name[T]{Name: s, Value: v} }
