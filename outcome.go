package mayfly

// Reason is why a machine ended.
type Reason uint8

// The ends a machine can come to.
const (
	PowerOff      Reason = iota // the guest switched the machine off
	Halted                      // every processor stopped for good
	Rebooted                    // the guest asked for a reset, under RebootExit
	Panicked                    // the guest's kernel panicked
	TripleFault                 // the guest crashed: a processor shut down
	InternalError               // KVM could not go on running the guest
	FailedEntry                 // the hardware refused the guest's state
	ImageChanged                // a file of the guest was changed in place: under it, or before a restart
	Killed                      // Kill, Close, or the end of Start's context
	HostError                   // the host failed; Wait's error says how
	Hung                        // the guest fell silent, under WatchdogExit
)

var reasons = [...]string{"powered off", "halted", "rebooted", "kernel panic", "triple fault", "KVM internal error",
	"failed entry", "image changed", "killed", "host error", "hung"}

// String is the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "unknown"
}

// Outcome is how a machine ended.
type Outcome struct {
	Reason Reason
	// Detail says more, for people: one line or, about crashes, several with the
	// processor's registers.
	Detail string
	// Restarts is how often the guest rebooted in place before.
	Restarts int
	// Lost is how many bytes of the guest's output went nowhere, of the serial port and
	// of the virtio console's ports that have a File or an Out: the output failed, took
	// nothing for seconds, or not all before a killed machine ended, or reached its
	// limit.
	Lost uint64
	// LostCause is why, or nil. It may be set with Lost 0, where a file system told only
	// at the end that something was not written.
	LostCause error
}
