package confine

// Companion confines a program that Mayfly starts to read hostile input: it
// keeps no descriptor but the standard ones and those in keep, no capability,
// and what the limits allow. Call it before the first byte is read.
//
// A program built with cgo starts again here; see RestartWithCgo.
func Companion(l Limits, keep ...int) error {
	if err := RestartWithCgo(); err != nil {
		return err
	}
	if err := CloseInherited(keep...); err != nil {
		return err
	}
	if err := l.Set(); err != nil {
		return err
	}
	return DropPrivileges()
}
