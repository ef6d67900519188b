package machine

import (
	"testing"

	"github.com/mayfly-vm/mayfly/internal/hypervisor"
	"github.com/mayfly-vm/mayfly/pvh"
)

// A KVM with an event that it can't deliver calls a vCPU runnable that executes
// HLT with interrupts off again and again.
func TestHaltThatKVMDoesNotCallOne(t *testing.T) {
	const codeAt = 0x300000
	write := hypervisor.Exit{Kind: hypervisor.ExitMMIOWrite, Addr: codeAt, Size: 4, Data: []byte{0xFA, 0xF4, 0xEB, 0xFD}} // cli; hlt; jmp to it
	at := func(rip, rflags uint64) func(int) func() (hypervisor.Activity, hypervisor.State) {
		return func(int) func() (hypervisor.Activity, hypervisor.State) {
			return func() (hypervisor.Activity, hypervisor.State) {
				return hypervisor.Running, hypervisor.State{RIP: rip, RFLAGS: rflags, CS: pvh.Segment{Selector: 8}}
			}
		}
	}
	for name, c := range map[string]struct {
		hangs func(int) func() (hypervisor.Activity, hypervisor.State)
		want  bool
	}{
		"after the HLT":          {at(codeAt+2, 2), true},
		"at the HLT":             {at(codeAt+1, 2), true},
		"with interrupts on":     {at(codeAt+2, 0x202), false},
		"at another instruction": {at(codeAt+8, 2), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := onScript(t, setup{spec: Spec{CPUs: 2}}, &script{exits: [][]hypervisor.Exit{{write}}, hangs: c.hangs})
			if err := m.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.mu.Lock()
			vcpus := &m.hardware.vcpus
			m.mu.Unlock()
			h := haltWatch{}
			got := false
			for range 3 * haltSamples {
				got = got || h.poll(vcpus)
			}
			if got != c.want {
				t.Errorf("halted is %v, want %v", got, c.want)
			}
			m.Close()
		})
	}
}

func TestPanicIsBelievedBySamples(t *testing.T) {
	spin := sample{rip: 0xFFFFFFFF81000100}
	off := sample{activity: hypervisor.Stalled}
	user, idle, deadHalt := sample{user: true}, sample{activity: hypervisor.Idle}, sample{deadHalt: true}
	near, far := sample{rip: spin.rip + 0x80}, sample{rip: spin.rip - 0x100000}
	type samples [][]sample
	for name, c := range map[string]struct {
		list samples
		want panicVerdict
	}{
		"one vCPU spins":                      {samples{{spin}, {near}, {spin}, {near}, {spin}}, panicBelieved},
		"the others have stopped":             {samples{{off, spin, deadHalt}, {off, spin, off}, {off, near, off}, {off, spin, off}, {off, spin, off}}, panicBelieved},
		"an interrupt's handler in between":   {samples{{spin}, {far}, {spin}, {near}, {spin}, {spin}}, panicBelieved},
		"four samples":                        {samples{{spin}, {spin}, {spin}, {spin}}, panicOpen},
		"code from everywhere":                {samples{{spin}, {far}, {sample{rip: 1 << 20}}, {spin}, {far}, {sample{rip: 2 << 20}}, {spin}, {far}}, panicOpen},
		"two vCPUs run":                       {samples{{spin, spin}, {spin, spin}, {spin, spin}, {spin, spin}, {spin, spin}}, panicOpen},
		"user mode begins the count anew":     {samples{{spin}, {spin}, {spin}, {spin}, {user}, {spin}, {spin}, {spin}, {spin}}, panicOpen},
		"another vCPU waits for work":         {samples{{spin, idle}, {spin, idle}, {spin, idle}, {spin, idle}, {spin, idle}}, panicOpen},
		"all have stopped: a halt":            {samples{{off}, {off}, {off}, {off}, {off}}, panicOpen},
		"it lives":                            {samples{{user}, {idle}, {user}, {user}, {idle}, {idle}}, panicRefuted},
		"stopped late, after one sample more": {samples{{spin, user}, {spin, off}, {spin, off}, {spin, off}, {spin, off}, {spin, off}}, panicBelieved},
	} {
		t.Run(name, func(t *testing.T) {
			p := panicWatch{wait: panicPoll}
			got := panicOpen
			for _, s := range c.list {
				if got != panicOpen {
					t.Fatalf("verdict %v before the end", got)
				}
				got = p.judge(s, true)
			}
			if got != c.want {
				t.Errorf("verdict %v, want %v", got, c.want)
			}
			for _, s := range c.list { // with output or requests nothing is believed
				if v := p.judge(s, false); v == panicBelieved {
					t.Error("believed in spite of output")
				}
			}
		})
	}
}

// The samples after one message say nothing about the next, but a guest can't
// put a verdict off, nor bring it about, by saying it again.
func TestPanicMessageIsRepeated(t *testing.T) {
	spin := []sample{{rip: 0xFFFFFFFF81000100}}
	var p panicWatch
	if !p.begin(false) {
		t.Error("the first message is not followed by a sample")
	}
	for range panicSamples - 1 {
		p.judge(spin, true)
		if p.begin(true) {
			t.Error("a sample was put off")
		}
	}
	if !p.begin(false) || p.judge(spin, true) != panicOpen {
		t.Error("samples of an earlier message were counted")
	}
	p.judge([]sample{{user: true}}, true)
	if !p.begin(true) || p.wait != panicPoll || p.lively != 0 {
		t.Error("a new message does not begin the samples anew")
	}
}

func TestAnnouncedRestartIsTimed(t *testing.T) {
	var s signs
	s.init()
	if s.explainsReset() {
		t.Error("without a message")
	}
	if s.sayRestart(); !s.explainsReset() {
		t.Error("not just after the message")
	}
	s.restarting.Add(-int64(restartLimit))
	if s.explainsReset() {
		t.Error("long after the message")
	}
	s.sayRestart()
	if s.sayPanic(); s.explainsReset() || !s.explainsEnd(TripleFault) || s.explainsEnd(PowerOff) || s.explainsEnd(Killed) {
		t.Error("after a panic")
	}
	if s.sayHalt(); s.explainsEnd(Halted) {
		t.Error("a halt in good order")
	}
	s.sayPanic()
	if s.lively.Store(true); s.explainsEnd(Rebooted) {
		t.Error("a guest that lives")
	}
}
