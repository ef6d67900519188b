package machine

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/internal/layout"
	"github.com/mayfly-vm/mayfly/internal/reports"
)

func TestRestartPace(t *testing.T) {
	ms := time.Millisecond
	long, short := shortBoot, shortBoot-ms
	for name, c := range map[string]struct{ boots, want []time.Duration }{
		"boots of use": {[]time.Duration{long, long, 9 * long, long, long}, []time.Duration{0, 0, 0, 0, 0}},
		"at once, for ever": {[]time.Duration{0, 0, short, 0, 0, 0, 0, 0, 0, 0, 0},
			[]time.Duration{0, 0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 5000 * ms}},
		"a long one between": {[]time.Duration{0, 0, 0, 0, long, 0, 0, 0, 0}, []time.Duration{0, 0, 0, 100 * ms, 0, 0, 0, 0, 100 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			var p restartPace
			now := time.Unix(1000, 0)
			for i, d := range c.boots {
				p.began = now
				now = now.Add(d)
				if got := p.next(now); got != c.want[i] {
					t.Errorf("pause %d is %v, want %v", i, got, c.want[i])
				}
			}
		})
	}
}

// A guest that reboots at once is slowed down, with one message, and a Kill does
// not wait for the pause.
func TestRebootsAtOnceForEver(t *testing.T) {
	const boots = 200
	eighth := make(chan struct{})
	h := &script{made: func(n int) {
		if n == 7 {
			close(eighth)
		}
	}}
	for range boots {
		h.exits = append(h.exits, []hypervisor.Exit{{Kind: hypervisor.ExitPortOut, Addr: layout.PortI8042, Size: 1, Data: []byte{0xFE}}})
	}
	var messages atomic.Int32
	m := onScript(t, setup{spec: Spec{Reports: reports.New(func(name string, err error) {
		if name == "restart" && strings.Contains(err.Error(), "rebooted") {
			messages.Add(1)
		}
	})}}, h)
	started := time.Now()
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-eighth
	begin := time.Now()
	if d := begin.Sub(started); d < 15*firstPause {
		t.Errorf("the eighth boot after %v, before the pauses were over", d)
	}
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	o, err := m.Wait(t.Context())
	if err != nil || o.Reason != Killed {
		t.Errorf("%+v, %v", o, err)
	}
	if d := time.Since(begin); d > longestPause/4 {
		t.Errorf("Kill took %v", d)
	}
	if n := messages.Load(); n != 1 {
		t.Errorf("%d messages", n)
	}
}
