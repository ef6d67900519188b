package native

import "sync"

func cpuid(leaf uint32) (a, b, c, d uint32)

// Features are instructions beyond x86-64-v2 that the host's processor has.
type Features struct{ AES, PCLMULQDQ bool }

// HostFeatures asks the host's processor, once. Source: Intel SDM volume 2, CPUID, leaf 1.
var HostFeatures = sync.OnceValue(func() Features {
	_, _, c, _ := cpuid(1)
	return Features{AES: c>>25&1 != 0, PCLMULQDQ: c>>1&1 != 0}
})
