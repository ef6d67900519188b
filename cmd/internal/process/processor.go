package process

import "runtime"

// SpareProcessor gives the devices of a machine with so many vCPUs a processor of
// Go's (a P of its scheduler). Each vCPU in the guest holds one; with no other left,
// a device that has work would wait for the runtime's sysmon, up to 10 ms. There is
// no more than one: Go would wake threads that find no work. And there is none where
// one vCPU is alone on one CPU: there sysmon takes at once what is held, and with
// another P it would poll every 20 us for 10 ms after each exit.
func SpareProcessor(vcpus int) {
	if runtime.NumCPU() > 1 || vcpus > 1 {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), max(vcpus, 1)+1))
	}
}
