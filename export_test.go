package mayfly

// Exits is how often the machine's processors left the guest, kicks excepted.
func (vm *VM) Exits() uint64 {
	vm.mu.Lock()
	defer vm.mu.Unlock()
	if vm.board == nil {
		return 0
	}
	return vm.board.totalExits()
}

// SelfWriter is selfWriter for tests of another package.
var SelfWriter = selfWriter
