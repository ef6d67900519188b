package native

import (
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestOffsets(t *testing.T) {
	var c Context
	if unsafe.Offsetof(c.GPR) != offsetGPR || unsafe.Offsetof(c.Flags) != offsetFlags || unsafe.Offsetof(c.mxcsr) != offsetMXCSR || unsafe.Offsetof(c.Scratch) != OffsetScratch {
		t.Error("the offsets are wrong")
	}
}

// Instructions find and leave the registers of a Context, while the collector and other
// goroutines go on.
func TestRun(t *testing.T) {
	code, err := NewCode(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer code.Close()
	add := func(useRBX bool, b ...byte) Thunk {
		th, err := code.Add(b, useRBX)
		if err != nil {
			t.Fatal(err)
		}
		return th
	}
	adc := add(true, 0x48, 0x11, 0xD8)                                                           // adc rax, rbx
	paddq := add(true, 0x66, 0x0F, 0xD4, 0xC1)                                                   // paddq xmm0, xmm1
	movq := add(true, 0x66, 0x48, 0x0F, 0x7E, 0xC2)                                              // movq rdx, xmm0
	load := add(false, 0xF3, 0x0F, 0x6F, 0x8B, byte(OffsetScratch&0xFF), OffsetScratch>>8, 0, 0) // movdqu xmm1, [rbx+scratch]
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				runtime.GC()
			}
		}
	}()
	var wg sync.WaitGroup
	for g := range uint64(4) {
		wg.Go(func() {
			c := NewContext()
			for i := range uint64(50_000) {
				for r := range c.GPR {
					c.GPR[r] = uint64(r)<<32 + g
				}
				c.GPR[0], c.GPR[3], c.Flags = ^uint64(0), i, 1
				adc.Run(c)
				if c.GPR[0] != i || c.GPR[3] != i || c.Flags&1 != 1 || c.GPR[14] != 14<<32+g || c.GPR[5] != 5<<32+g {
					t.Errorf("%x, flags %#x", c.GPR, c.Flags)
					return
				}
				c.Scratch[0], c.Scratch[8] = byte(i), 7
				c.GPR[3] = 99
				load.Run(c)
				before := *(*uint64)(unsafe.Pointer(&c.FX[160]))
				paddq.Run(c)
				movq.Run(c)
				if c.GPR[2] != before+uint64(byte(i)) || c.GPR[3] != 99 {
					t.Errorf("rdx %#x, rbx %#x", c.GPR[2], c.GPR[3])
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
}

// No code is at 0, which a caller takes for none: not in new memory, in a part of it, or after a reset.
func TestNoCodeIsAtZero(t *testing.T) {
	whole, err := NewCode(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	part := whole.Part(1, 1<<12)
	for range 2 {
		for name, code := range map[string]*Code{"whole": whole, "part": part} {
			if at, err := code.AddXMM(XMM{Instruction: []byte{0x0F, 0x57, 0xC0}}); at == 0 || err != nil {
				t.Errorf("%s: %d, %v", name, at, err)
			}
			code.Reset()
		}
	}
}
