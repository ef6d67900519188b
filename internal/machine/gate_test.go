package machine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateOpenAndClosed(t *testing.T) {
	g := newGate(1)
	if g.pass() {
		t.Error("a new gate is closed")
	}
	if g.open() {
		t.Error("an open gate was closed")
	}
	if !g.close() || g.close() {
		t.Error("it can be closed once")
	}
	if !g.open() || g.open() {
		t.Error("it can be opened once")
	}
	g.close()
	if g.end(); g.pass() || g.close() || g.open() || g.pass() {
		t.Error("a gate that has ended does something")
	}
}

func TestGateHoldsUntilItOpens(t *testing.T) {
	for name, release := range map[string]func(*gate){"open": func(g *gate) { g.open() }, "end": (*gate).end} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(2)
				g.close()
				var passed sync.WaitGroup
				for range 2 {
					passed.Go(func() {
						if !g.pass() {
							t.Error("it did not wait")
						}
					})
				}
				synctest.Wait() // both wait
				begin := time.Now()
				g.awaitEmpty(t.Context(), func() bool { t.Error("nobody is to be asked"); return false })
				if g.inside != 0 || time.Since(begin) != 0 {
					t.Errorf("%d vCPUs are inside; found out after %v", g.inside, time.Since(begin))
				}
				release(g)
				passed.Wait()
				if g.inside != 2 {
					t.Errorf("%d vCPUs are inside, want 2", g.inside)
				}
			})
		})
	}
}

func TestGateIsAwaited(t *testing.T) {
	never := func(time.Duration) bool { return false }
	always := func(time.Duration) bool { return true }
	for name, c := range map[string]struct {
		handling func(time.Duration) bool // so long after the begin
		do       func(g *gate, cancel func())
		want     time.Duration // how long it is awaited
	}{
		"the vCPU comes":                  {never, func(g *gate, _ func()) { g.pass() }, time.Second},
		"the gate opens":                  {never, func(g *gate, _ func()) { g.open() }, time.Second},
		"the run ends":                    {never, func(g *gate, _ func()) { g.end() }, time.Second},
		"the context ends":                {never, func(_ *gate, cancel func()) { cancel() }, time.Second},
		"exits are handled at last":       {always, nil, handlerGrace},
		"they are handled only after it":  {func(d time.Duration) bool { return d > handlerGrace+2*handlerPoll }, nil, handlerGrace + 3*handlerPoll},
		"it comes in the time of grace":   {never, func(g *gate, _ func()) { g.pass() }, handlerGrace / 2},
		"it is handled, and comes before": {always, func(g *gate, _ func()) { g.pass() }, handlerGrace / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				g := newGate(1)
				g.close()
				if c.do != nil {
					go func() {
						<-time.After(c.want)
						c.do(g, cancel)
					}()
				}
				begin := time.Now()
				g.awaitEmpty(ctx, func() bool { return c.handling(time.Since(begin)) })
				if took := time.Since(begin); took != c.want {
					t.Errorf("it took %v, want %v", took, c.want)
				}
				g.end()
			})
		})
	}
}
