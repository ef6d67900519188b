package monitor

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mayfly-vm/mayfly/internal/seccomp"
)

// somePID stands for the process's id in the programs of compiled.go.
const somePID = 0x7EE1_0001

// install installs one of the programs of compiled.go, which are the policies: to compile them
// would cost each start 0.15 ms. An instruction is a struct sock_filter {u16 code; u8 jt, jf;
// u32 k} as a number.
func install(prog []uint64, threads seccomp.Threads) error {
	mine := make([]unix.SockFilter, len(prog))
	copy(unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(mine))), len(mine)), prog)
	pid := uint32(os.Getpid())
	for i := range mine {
		if mine[i].K == somePID {
			mine[i].K = pid
		}
	}
	return seccomp.Install(mine, threads)
}
