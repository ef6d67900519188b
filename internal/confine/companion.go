package confine

// Companion confines a program that Mayfly starts to read hostile input: it
// keeps no descriptor but the standard ones and those in keep, no capability,
// and what the limits allow. Call it before the first byte is read.
func Companion(l Limits, keep ...int) error {
	if err := CloseInherited(keep...); err != nil {
		return err
	}
	if err := l.Set(); err != nil {
		return err
	}
	return DropPrivileges()
}
