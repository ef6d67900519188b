package child

import (
	"encoding/json"

	"github.com/mayfly-vm/mayfly/internal/handover"
	"github.com/mayfly-vm/mayfly/ratelimit"
)

// Requests, and their bodies. The answer's is the result.
const (
	New           = "new" // Machine; Plan
	Start         = "start"
	Pause         = "pause" // ends with Cancel
	Cancel        = "cancel"
	Resume        = "resume"
	PowerButton   = "power button"
	Break         = "break"
	Kill          = "kill"   // without an answer
	State         = "state"  // string
	Stats         = "stats"  // the machine's Stats
	SetDiskLimits = "limits" // Device
	ChangeDisk    = "change"
	RefreshDisk   = "refresh"
	SetLink       = "link"
	ResizeConsole = "resize"
)

// Events of the machine's process.
const (
	Ended  = "ended"  // End
	Logged = "logged" // Log
)

// Host is the name of reports about the machine's process and its host.
const Host = "host"

// Machine is a configuration. Its descriptors are the console's In and Out, if there are such,
// then those of the devices.
type Machine struct {
	Config  json.RawMessage   `json:"config"` // without what can't be JSON
	In      bool              `json:"in"`
	Out     bool              `json:"out"`
	Log     bool              `json:"log"` // there is somebody to read it
	Devices []handover.Record `json:"devices"`
}

// Device is a call about a device.
type Device struct {
	Device string            `json:"device"`
	Limits *ratelimit.Config `json:"limits,omitempty"`
	Medium *handover.Record  `json:"medium,omitempty"`
	Up     bool              `json:"up,omitempty"`
	Port   int               `json:"port,omitempty"`
	Cols   uint16            `json:"cols,omitempty"`
	Rows   uint16            `json:"rows,omitempty"`
}

// End is how a machine ended: an Outcome.
type End struct {
	Reason      string   `json:"reason"`
	Detail      string   `json:"detail"`
	Restarts    int      `json:"restarts"`
	Lost        uint64   `json:"lost"`
	LostCause   *Error   `json:"lost_cause,omitempty"`
	Processor   string   `json:"processor"`
	Confinement []string `json:"confinement"`
	Error       *Error   `json:"error,omitempty"`
}

// Log is what the machine reports.
type Log struct {
	Device string `json:"device"`
	Error  *Error `json:"error"`
}
