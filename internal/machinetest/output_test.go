package machinetest_test

import (
	"context"
	"regexp"
	"testing"

	"github.com/mayfly-vm/mayfly/internal/machinetest"
)

func TestOutputIsWaitedFor(t *testing.T) {
	var o machinetest.Output
	done := make(chan error)
	go func() { done <- o.Wait(t.Context(), "ready\n") }()
	for _, p := range []string{"not rea", "dy", "\r\n@1 a", "bc\n@12 x"} {
		o.Write([]byte(p))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if line, err := o.Line(t.Context(), "@1 "); line != "@1 abc" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if line, err := o.Line(ctx, "@12 "); err == nil || line != "" {
		t.Errorf("half a line: %q, %v", line, err)
	}
	o.Forget()
	if err := o.Wait(ctx, "ready"); err == nil || o.String() != "" {
		t.Errorf("%v, %q is left", err, o.String())
	}
}

func TestOutputIsMatchedAndCounted(t *testing.T) {
	var o machinetest.Output
	type match struct {
		groups []string
		err    error
	}
	matched, counted := make(chan match), make(chan error)
	go func() {
		g, err := o.Match(t.Context(), regexp.MustCompile(`end-(\d+)\n`))
		matched <- match{g, err}
	}()
	go func() { counted <- o.WaitCount(t.Context(), "x", 3) }()
	for _, p := range []string{"x end-1", "x2\n", "xx"} {
		o.Write([]byte(p))
	}
	if err := <-counted; err != nil {
		t.Error(err)
	}
	o.Write([]byte("end-3\n"))
	if m := <-matched; m.err != nil || len(m.groups) != 2 || m.groups[1] != "3" {
		t.Errorf("%q, %v", m.groups, m.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.WaitCount(ctx, "x", 5); err == nil {
		t.Error("5 were counted of 4")
	}
}
