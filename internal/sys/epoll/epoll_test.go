package epoll_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/sys/epoll"
	"github.com/mayfly-vm/mayfly/internal/sys/eventfd"
)

// soon ends a wait for what should have come.
const soon = 10 * time.Second

// fixture is a set with an eventfd, which is watched, and a pipe, which is added.
type fixture struct {
	*epoll.Set
	t    *testing.T
	kick *eventfd.FD
	pipe [2]int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	var err error
	if f.Set, err = epoll.New(); err != nil {
		t.Fatal(err)
	}
	if f.kick, err = eventfd.New(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Pipe2(f.pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		f.kick.Close()
		unix.Close(f.pipe[0])
		unix.Close(f.pipe[1])
	})
	if err := f.Watch(f.kick.FD()); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(f.pipe[0]); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) write() {
	if _, err := unix.Write(f.pipe[1], []byte{1}); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) read() {
	var b [1]byte
	if _, err := unix.Read(f.pipe[0], b[:]); err != nil {
		f.t.Error(err)
	}
}

// wait waits with arm as the last look, and tells whether an event ended it.
func (f *fixture) wait(limit time.Duration, arm func()) bool {
	f.t.Helper()
	end := time.Now().Add(limit)
	if err := f.Wait(func() bool { arm(); return false }, end); err != nil {
		f.t.Fatal(err)
	}
	return time.Now().Before(end)
}

func (f *fixture) arm() {
	if err := f.Arm(f.pipe[0], unix.EPOLLIN); err != nil {
		f.t.Error(err)
	}
}

const never = 20 * time.Millisecond

func TestSignalEndsEachWait(t *testing.T) {
	f := newFixture(t)
	for range 3 { // its count is never taken
		if !f.wait(soon, f.kick.Signal) {
			t.Fatal("a signal during the last look was lost")
		}
		if f.wait(never, func() {}) {
			t.Fatal("one signal ended two waits")
		}
		if !f.wait(soon, func() { go f.kick.Signal() }) {
			t.Fatal("a signal was lost")
		}
	}
}

func TestArmedAlone(t *testing.T) {
	f := newFixture(t)
	if f.wait(never, f.write) {
		t.Error("what was not armed ended a wait")
	}
	for range 3 {
		if !f.wait(soon, f.arm) {
			t.Fatal("what was there before it was armed was not seen")
		}
		f.kick.Signal() // leaves an event that nobody waited for
	}
	f.read()
	if !f.wait(soon, func() { f.arm(); f.kick.Signal() }) {
		t.Error("a watched eventfd did not end the wait")
	}
	f.write() // armed no more
	f.read()
	f.write()
	if !f.wait(soon, f.arm) {
		t.Error("an event between two waits hid what came after it")
	}
	f.read()
	if f.wait(never, f.arm) {
		t.Error("what was read already ended a wait")
	}
	go f.write()
	if !f.wait(soon, f.arm) {
		t.Error("what was written was not seen")
	}
}

func TestLastLookFindsWork(t *testing.T) {
	f := newFixture(t)
	if err := f.Wait(func() bool { return true }, time.Time{}); err != nil {
		t.Error(err)
	}
}

func TestWaitAllocatesNothing(t *testing.T) {
	f := newFixture(t)
	last := func() bool { f.kick.Signal(); f.arm(); return false }
	if n := testing.AllocsPerRun(100, func() { f.Wait(last, time.Time{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What was armed stays so, until a Wait without it or a Disarm.
func TestArmedStays(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		if f.wait(never, f.arm) {
			t.Fatal("nothing ended a wait")
		}
		f.write() // while it is armed, and nobody waits
		if !f.wait(soon, f.arm) {
			t.Fatal("an event between two waits was lost")
		}
		f.read()
	}
	if f.wait(never, func() {}) {
		t.Error("nothing ended a wait")
	}
	f.write()
	if f.wait(never, func() {}) {
		t.Error("what the last wait was without ended a wait")
	}
	if !f.wait(soon, f.arm) {
		t.Error("what was there before it was armed again was not seen")
	}
	if err := f.Disarm(); err != nil {
		t.Error(err)
	}
	f.write()
	if f.wait(never, func() {}) {
		t.Error("what was disarmed ended a wait")
	}
	if !f.wait(soon, f.arm) {
		t.Error("what was there before it was armed again was not seen")
	}
}

// A descriptor that is closed while it is armed leaves its number to another file.
func TestArmedNumberIsUsedAgain(t *testing.T) {
	f := newFixture(t)
	if f.wait(never, f.arm) {
		t.Fatal("nothing ended a wait")
	}
	number := f.pipe[0]
	var next [2]int
	if err := unix.Pipe2(next[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(next[0], number, unix.O_CLOEXEC); err != nil { // closes what it was
		t.Fatal(err)
	}
	unix.Close(next[0])
	unix.Close(f.pipe[1])
	f.pipe[1] = next[1]
	if err := f.Add(number); err != nil {
		t.Fatal(err)
	}
	f.write()
	if !f.wait(soon, f.arm) {
		t.Error("the new file's events were not seen")
	}
}
