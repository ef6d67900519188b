package mayfly_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly"
	"github.com/mayfly-vm/mayfly/guest/check"
	"github.com/mayfly-vm/mayfly/internal/machinetest"
	"github.com/mayfly-vm/mayfly/virtio"
	"github.com/mayfly-vm/mayfly/virtio/blk"
	"github.com/mayfly-vm/mayfly/virtio/rng"
	"github.com/mayfly-vm/mayfly/virtio/virtiotest"
)

func TestStatsThroughALife(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	disk := file(t, "disk", make([]byte, 4096))
	c := guest(t, check.Options{NoChecks: true, End: check.Ask})
	c.OnReboot = mayfly.RebootRestart
	c.Devices = []mayfly.DeviceConfig{blk.Config{Path: disk}, virtio.Opened{Name: "echo", Device: new(virtiotest.Echo)}}
	vm := start(t, c)
	var last mayfly.Stats
	grows := func(when string, restarts int) {
		t.Helper()
		s := vm.Stats()
		total := func(s mayfly.Stats) (n uint64) {
			for _, k := range s.Exits {
				n += k
			}
			return n
		}
		if s.State != mayfly.StateRunning || s.Restarts != restarts || s.Uptime <= last.Uptime || total(s) <= total(last) || s.Exits["port out"] <= last.Exits["port out"] {
			t.Errorf("%s: %+v after %+v", when, s, last)
		}
		if d := s.Devices; len(d) != 2 || d[0].Name != "disk "+disk || d[0].Type != "blk" || d[1].Name != "echo" || d[1].Type != "rng" || d[1].Stats != nil {
			t.Errorf("%s: devices %+v", when, d)
		} else if _, ok := d[0].Stats.(blk.Stats); !ok {
			t.Errorf("%s: a %T of a disk", when, d[0].Stats)
		}
		last = s
	}
	vm.await("# end?", 1)
	grows("at first", 0)
	vm.press("r")
	vm.await("# end?", 2)
	grows("after a restart", 1)
	vm.press("p")
	vm.want(mayfly.PowerOff)
	ended := vm.Stats()
	if ended.State != mayfly.StateEnded || ended.Restarts != 1 || ended.Uptime <= last.Uptime || ended.Exits["port out"] <= last.Exits["port out"] {
		t.Errorf("at the end: %+v after %+v", ended, last)
	}
	vm.Close()
	closed := vm.Stats()
	if closed.State != mayfly.StateClosed || closed.Uptime != ended.Uptime || closed.Exits["port out"] != ended.Exits["port out"] || closed.Devices == nil || len(closed.Devices) != 0 {
		t.Errorf("after Close: %+v", closed)
	}
}

func TestStatsOfANewMachine(t *testing.T) {
	machinetest.NeedKVM(t)
	vm, err := mayfly.New(guest(t, check.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	b, err := json.Marshal(vm.Stats())
	if want := `{"state":"new","uptime_ns":0,"restarts":0,"exits":{},"devices":[],"confinement":[]}`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestStatsAsJSON(t *testing.T) {
	s := mayfly.Stats{State: mayfly.StatePaused, Uptime: 3 * time.Second, Restarts: 2, Exits: map[string]uint64{"mmio write": 7},
		Devices: []mayfly.DeviceStats{{Name: "disk d", Type: "blk", Stats: blk.Stats{Reads: 5, WriteZeroes: 1}}, {Name: "own", Type: "virtio"}}}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		State    string
		UptimeNS int64 `json:"uptime_ns"`
		Restarts int
		Exits    map[string]uint64
		Devices  []struct {
			Name, Type string
			Stats      map[string]uint64
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.State != "paused" || got.UptimeNS != 3e9 || got.Restarts != 2 || got.Exits["mmio write"] != 7 || len(got.Devices) != 2 ||
		got.Devices[0].Name != "disk d" || got.Devices[0].Stats["reads"] != 5 || got.Devices[0].Stats["write_zeroes"] != 1 || got.Devices[1].Stats != nil {
		t.Errorf("%s", b)
	}
}

// countingDevice calls stats for its counters.
type countingDevice struct {
	virtio.Device
	stats func()
}

func (d countingDevice) DeviceStats() any { d.stats(); return nil }

// A Close waits for a Stats that is under way: devices are counted until they are closed.
func TestDevicesStayOpenWhileTheyAreCounted(t *testing.T) {
	machinetest.NeedKVM(t)
	leavesNothing(t)
	d, err := rng.New(rng.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := guest(t, check.Options{NoChecks: true})
	var vm *mayfly.VM
	cfg.Devices = []mayfly.DeviceConfig{virtio.Opened{Name: "own", Device: countingDevice{d, func() {
		go vm.Close()
		select {
		case <-vm.Released():
			t.Error("the device was closed during its DeviceStats")
		case <-time.After(time.Second):
		}
	}}}}
	if vm, err = mayfly.New(cfg); err != nil {
		t.Fatal(err)
	}
	vm.Stats()
	<-vm.Released()
}
