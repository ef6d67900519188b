package machine

// Reason is why a machine ended.
type Reason string

// The ends a machine can come to; package mayfly documents them.
const (
	PowerOff      Reason = "powered off"
	Halted        Reason = "halted"
	Rebooted      Reason = "rebooted"
	Panicked      Reason = "kernel panic"
	TripleFault   Reason = "triple fault"
	InternalError Reason = "KVM internal error"
	FailedEntry   Reason = "failed entry"
	ImageChanged  Reason = "image changed"
	Killed        Reason = "killed"
	HostError     Reason = "host error"
	Hung          Reason = "hung"
)

// Outcome is how a machine ended.
type Outcome struct {
	Reason    Reason
	Detail    string // for people; may have several lines
	Restarts  int
	Lost      uint64 // bytes of output that went nowhere
	LostCause error
}

// ending is an outcome with the error of a failure of the host.
type ending struct {
	Outcome
	err error
}

func failure(err error) *ending {
	return &ending{Outcome{Reason: HostError, Detail: err.Error()}, err}
}
