//go:build !defect

package machine

// addDefects adds nothing: the build tag defect gives a machine a device that does what its
// guest asks for.
func (h *hardware) addDefects() error { return nil }
